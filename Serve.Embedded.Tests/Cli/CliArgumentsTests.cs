using Serve.Embedded.Cli;

namespace Serve.Embedded.Tests.Cli;

public sealed class CliArgumentsTests
{
    private static readonly CliOption[] Options =
    [
        new("--port", "N", "A number."), new("--json", null, "A switch."), new("--app", "NAME", "Many.", Repeats: true),
    ];

    [Fact]
    public void Parse_OptionsAndWords_AreSorted()
    {
        CliArguments arguments = CliArguments.Parse(["one", "--port", "80", "--json", "two", "--app=a", "--app", "b=c"], Options);

        Assert.Equal(["one", "two"], arguments.Positional);
        Assert.Equal("80", arguments.Value("--port"));
        Assert.True(arguments.Has("--json"));
        Assert.Equal(["a", "b=c"], arguments.Values("--app"));
    }

    [Fact]
    public void Parse_ValueAfterEquals_MayBeEmptyOrHoldAnother()
    {
        CliArguments arguments = CliArguments.Parse(["--port=", "--app=a=b"], Options);

        Assert.Equal(string.Empty, arguments.Value("--port"));
        Assert.Equal("a=b", arguments.Value("--app"));
    }

    [Fact]
    public void Parse_AfterTwoDashes_EverythingIsAWord()
    {
        CliArguments arguments = CliArguments.Parse(["--json", "--", "--port", "--"], Options);

        Assert.Equal(["--port", "--"], arguments.Positional);
        Assert.Null(arguments.Value("--port"));
    }

    [Fact]
    public void Parse_ASingleDash_IsAWord() => Assert.Equal(["-"], CliArguments.Parse(["-"], Options).Positional);

    [Fact]
    public void Parse_NotGiven_IsNothing()
    {
        CliArguments arguments = CliArguments.Parse([], Options);

        Assert.Null(arguments.Value("--port"));
        Assert.False(arguments.Has("--json"));
        Assert.Empty(arguments.Values("--app"));
        Assert.Empty(arguments.Single);
    }

    [Theory]
    [InlineData("Unknown option --prot; did you mean --port?", "--prot", "1")]
    [InlineData("Unknown option --colour.", "--colour")]
    [InlineData("Unknown option -p.", "-p")]
    [InlineData("--port needs a value: --port N.", "--port")]
    [InlineData("--json takes no value.", "--json=yes")]
    [InlineData("--port is given twice.", "--port", "1", "--port=2")]
    public void Parse_WrongWords_SayWhatIsWrong(string message, params string[] words) =>
        Assert.Equal(message, Assert.Throws<UsageException>(() => CliArguments.Parse(words, Options)).Message);
}
