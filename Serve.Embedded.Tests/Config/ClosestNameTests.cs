using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class ClosestNameTests
{
    [Theory]
    [InlineData("num_replica", "num_replicas")]
    [InlineData("num-replicas", "num_replicas")]
    [InlineData("NumReplicas", "num_replicas")]
    [InlineData("PORT", "port")]
    [InlineData("prot", "port")]
    [InlineData("hots", "host")]
    [InlineData("x", null)]
    [InlineData("", null)]
    [InlineData("completely_different", null)]
    public void Find_Written_IsTheOneMeant(string written, string? expected) =>
        Assert.Equal(expected, ClosestName.Find(written, ["host", "port", "num_replicas"]));

    [Fact]
    public void Find_SeveralNear_IsTheNearest() => Assert.Equal("abcdef", ClosestName.Find("abcdeg", ["abcxyf", "abcdef", "abcdxx"]));

    [Fact]
    public void Find_VeryLong_IsNotLookedFor() => Assert.Null(ClosestName.Find(new string('a', 100_000), [new string('a', 100_001)]));
}
