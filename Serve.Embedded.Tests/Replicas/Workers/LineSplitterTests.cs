using System.Text;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

public sealed class LineSplitterTests
{
    [Theory]
    [InlineData("one\ntwo\n", new[] { "one", "two" })]
    [InlineData("one\r\ntwo", new[] { "one", "two" })]
    [InlineData("\n\na\n", new[] { "", "", "a" })]
    [InlineData("10%\r20%\r30%\r\n", new[] { "30%" })]
    [InlineData("tab\there\n", new[] { "tab\there" })]
    [InlineData("\u001b[31mred\u0007\n", new[] { "\uFFFD[31mred\uFFFD" })]
    [InlineData("größer \ud83d\ude00\n", new[] { "größer \ud83d\ude00" })]
    public void Advance_Text_GivesLines(string text, string[] lines)
    {
        // However the bytes arrive.
        Assert.Equal(lines, Split(Encoding.UTF8.GetBytes(text), 1));
        Assert.Equal(lines, Split(Encoding.UTF8.GetBytes(text), 3));
        Assert.Equal(lines, Split(Encoding.UTF8.GetBytes(text), 8192));
    }

    [Fact]
    public void Advance_InvalidUtf8_IsReplaced() =>
        Assert.Equal(["a\uFFFDb", "\uFFFD"], Split([(byte)'a', 0xFF, (byte)'b', (byte)'\n', 0xC3, (byte)'\n'], 2));

    [Theory]
    [InlineData(8191, 8191, false)]
    [InlineData(8192, 8192, true)]
    [InlineData(100_000, 8192, true)]
    public void Advance_LongLine_IsCutAndMarkedAndTheNextIsWhole(int length, int kept, bool cut)
    {
        byte[] text = Encoding.UTF8.GetBytes(new string('x', length) + "\nnext\n");
        string expected = new string('x', kept) + (cut ? LineSplitter.CutMark : "");

        Assert.Equal([expected, "next"], Split(text, 8192));
        Assert.Equal([expected, "next"], Split(text, 7));
    }

    [Fact]
    public void Advance_LongLineOfWideCharacters_IsCutBetweenCharacters()
    {
        List<string> lines = Split(Encoding.UTF8.GetBytes("x" + new string('ö', 5000) + "\n"), 4096);

        Assert.Equal("x" + new string('ö', 4095) + LineSplitter.CutMark, Assert.Single(lines));
    }

    [Fact]
    public void Complete_AfterACutLine_AddsNothing() => Assert.Single(Split(new byte[20_000], 4096));

    private static List<string> Split(byte[] bytes, int step)
    {
        List<string> lines = [];
        LineSplitter splitter = new(lines.Add);
        for (int at = 0; at < bytes.Length;)
        {
            int count = Math.Min(Math.Min(step, splitter.Free.Length), bytes.Length - at);
            Assert.True(count > 0, "no room to read into");
            bytes.AsMemory(at, count).CopyTo(splitter.Free);
            splitter.Advance(count);
            at += count;
        }

        splitter.Complete();
        return lines;
    }
}
