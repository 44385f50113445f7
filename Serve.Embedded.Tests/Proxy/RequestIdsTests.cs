using Serve.Embedded.Deployments;
using Serve.Embedded.Proxy;

namespace Serve.Embedded.Tests.Proxy;

public sealed class RequestIdsTests
{
    private readonly SeededRandom _random = new(5);

    [Fact]
    public void For_NothingSent_IsARandomUuidAsGuidWritesIt()
    {
        HashSet<string> seen = [];
        for (int i = 0; i < 1000; i++)
        {
            string id = RequestIds.For(default, _random);

            Assert.Equal(Guid.ParseExact(id, "D").ToString(), id);
            Assert.Equal('4', id[14]);
            Assert.Contains(id[19], "89ab");
            Assert.True(seen.Add(id));
        }
    }

    [Fact]
    public void For_Random_IsItsBytesInHexadecimal()
    {
        SeededRandom same = new(5);
        byte[] bytes = new byte[16];
        for (int i = 0; i < 1000; i++)
        {
            same.NextBytes(bytes);
            bytes[6] = (byte)((bytes[6] & 0x0F) | 0x40);
            bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);

            Assert.Equal(new Guid(bytes, bigEndian: true).ToString(), RequestIds.For(default, _random));
        }
    }

    [Fact]
    public void For_Random_EveryDigitVaries()
    {
        string[] ids = [.. Enumerable.Range(0, 200).Select(_ => RequestIds.For(default, _random))];
        int[] constant = [.. Enumerable.Range(0, 36).Where(i => ids.Select(id => id[i]).Distinct().Count() == 1)];
        Assert.Equal([8, 13, 14, 18, 23], constant);
    }

    [Theory]
    [InlineData("mine")]
    [InlineData("with a space and ~")]
    public void For_UsableIdSent_IsTheClients(string sent) => Assert.Equal(sent, RequestIds.For(sent, _random));

    [Theory]
    [InlineData("")]
    [InlineData("tab\there")]
    [InlineData("é")]
    public void For_UnusableIdSent_IsANewOne(string sent) => Assert.True(Guid.TryParseExact(RequestIds.For(sent, _random), "D", out _));

    [Fact]
    public void For_TooLongOrSentTwice_IsANewOne()
    {
        Assert.Equal(256, RequestIds.For(new string('a', 256), _random).Length);
        Assert.Equal(36, RequestIds.For(new string('a', 257), _random).Length);
        Assert.Equal(36, RequestIds.For(new(["a", "b"]), _random).Length);
    }
}
