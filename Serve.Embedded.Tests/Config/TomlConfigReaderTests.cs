using Serve.Embedded.Config;
using Xunit;

namespace Serve.Embedded.Tests.Config;

public sealed class TomlConfigReaderTests
{
    [Theory]
    [InlineData("a.b.c = 1\na.b.d = 2", "{ a = { b = { c = 1, d = 2 } } }")]
    [InlineData("[a.b]\nx = 1\n[a]\ny = 2", "{ a = { b = { x = 1 }, y = 2 } }")]
    [InlineData("[[a]]\n[[a.b]]\nx = 1\n[c]\n[[a.b]]\nx = 2\n[[a]]\ny = 3", "{ a = [{ b = [{ x = 1 }, { x = 2 }] }, { y = 3 }], c = {} }")]
    [InlineData("[a]\nb.c = 1\n[a.b.d]\ne = 2", "{ a = { b = { c = 1, d = { e = 2 } } } }")]
    [InlineData("\"a b\".'' = '\\'\nc = \"\\u00e9\\t\\u0001\"", "{ \"a b\" = { \"\" = \"\\\\\" }, c = \"é\\t\\u0001\" }")]
    [InlineData("a = [0xFF, 0o17, 0b11, 1_000, +1, -0.0, 1e3, 6.02e23, inf, -nan, true]", "{ a = [255, 15, 3, 1000, 1, -0.0, 1000.0, 6.02E+23, inf, nan, true] }")]
    [InlineData("a = [1979-05-27T07:32:00.5-07:00, 1979-05-27 07:32:00, 1979-05-27, 07:32:00]", "{ a = [1979-05-27T07:32:00.5-07:00, 1979-05-27T07:32:00, 1979-05-27, 07:32:00] }")]
    public void Read_Valid_GivesTheTree(string toml, string expected)
    {
        ConfigErrors errors = new("t");

        ConfigNode? root = TomlConfigReader.Read(toml, errors);

        Assert.Empty(errors.ToList());
        Assert.Equal(expected, TomlText.Inline(root!));
    }

    [Theory]
    [InlineData("a = 1\na = 2", "t:2:1: a is written twice; the first is on line 1")]
    [InlineData("a = 1\n[a]", "t:2:2: a is written twice; the first is on line 1")]
    [InlineData("a = 1\na.b = 2", "t:2:1: a is written twice; the first is on line 1")]
    [InlineData("[a]\n[a]", "t:2:2: a is written twice; the first is on line 1")]
    [InlineData("[a]\n[[a]]", "t:2:3: a is written twice; the first is on line 1")]
    [InlineData("[[a]]\n[a]", "t:2:2: a is written twice; the first is on line 1")]
    [InlineData("a = []\n[[a]]", "t:2:3: a is written twice; the first is on line 1")]
    [InlineData("a = {}\n[a.b]", "t:2:2: a is written twice; the first is on line 1")]
    [InlineData("a = { b.c = 1 }\n[a.b]", "t:2:2: a is written twice; the first is on line 1")]
    [InlineData("[a]\nb.c = 1\n[a.b]", "t:3:4: b is written twice; the first is on line 2")]
    [InlineData("[a.b]\nx = 1\n[a]\nb.y = 2", "t:4:1: b is written twice; the first is on line 1")]
    [InlineData("a = { b = 1, b = 2 }", "t:1:14: b is written twice; the first is on line 1")]
    [InlineData("a = 1\n\"a\" = 2\n'a' = 3", "t:2:1: a is written twice; the first is on line 1\nt:3:1: a is written twice; the first is on line 1")]
    public void Read_DefinedTwice_NamesBothPlaces(string toml, string expected)
    {
        ConfigErrors errors = new("t");

        TomlConfigReader.Read(toml, errors);

        Assert.Equal(expected, string.Join("\n", errors.ToList()));
    }

    [Fact]
    public void Read_SyntaxErrorsOnManyLines_TellsOnePerLine()
    {
        ConfigErrors errors = new("t");

        Assert.Null(TomlConfigReader.Read("= = =\na = 1\nb = \"\\q\"\n[c\n", errors));

        Assert.Equal([1, 3, 4], errors.ToList().Select(error => error.Line));
    }

    [Theory]
    [InlineData("a = \"[[[\" # {{{\nb = '{'\nc = ", "[", 3, 69)]
    [InlineData("a = ", "{a=", 1, 197)]
    [InlineData("", "a.", 1, 1)]
    [InlineData("[", "a.", 1, 1)]
    public void Read_NestedTooDeep_NamesThePlace(string start, string repeated, int line, int column)
    {
        string end = repeated == "a." ? start == "" ? "a = 1" : "a]" : "";
        ConfigErrors errors = new("t");

        TomlConfigReader.Read(start + string.Concat(Enumerable.Repeat(repeated, 100_000)) + end, errors);

        ConfigError error = Assert.Single(errors.ToList());
        Assert.Equal((line, column), (error.Line, error.Column));
        Assert.Contains("nested more than 64 deep", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("the quick brown fox\n", "t:1:5: not TOML: expected `=` after key but was `quick`.")]
    [InlineData("))))", "t:1:1: not TOML: unexpected token `)` while parsing TOML document.")]
    [InlineData("# a comment\n", "t: more than 1000000 keys, values and lines, which no configuration has; is it the right one?")]
    [InlineData("[[a]]\nb = 1\n", "t: more than 1000000 keys, values and lines, which no configuration has; is it the right one?")]
    public void Read_LargeAndNoConfiguration_IsRefusedCheaply(string repeated, string expected)
    {
        string text = string.Concat(Enumerable.Repeat(repeated, 15_000_000 / repeated.Length));
        ConfigErrors errors = new("t");
        long before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Null(TomlConfigReader.Read(text, errors));

        Assert.Equal(expected, Assert.Single(errors.ToList()).ToString());
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 * 1024 * 1024);
    }

    [Fact]
    public void Read_LargeConfiguration_IsRead()
    {
        string text = string.Concat(Enumerable.Range(0, 5_000).Select(i => $"[[applications]]\nname = \"application-{i}\"\nroute_prefix = \"/{i}\"\n"));
        Assert.True(text.Length > TomlBounds.SmallText);
        ConfigErrors errors = new("t");

        Assert.Equal(5_000, TomlConfigReader.Read(text, errors)!.Find("applications")!.Items.Count);
    }
}
