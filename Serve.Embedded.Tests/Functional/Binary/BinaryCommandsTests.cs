using System.Text.Json;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinaryCommandsTests
{
    [Fact]
    public async Task StatusAndConfig_RunningServer_ShowWhatRuns()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow() + Toml.EchoApplication());
        Dictionary<string, string> address = new() { ["SERVE_ADDRESS"] = server.AdminAddress.ToString() };

        Finished status = await ServeBinary.RunAsync("status", "--address", server.AdminAddress.ToString());
        Finished json = await ServeBinary.RunAsync(new Invocation { Arguments = ["status", "--json"], Environment = address });
        Finished one = await ServeBinary.RunAsync(new Invocation { Arguments = ["status", "--name=echo"], Environment = address });
        Finished none = await ServeBinary.RunAsync(new Invocation { Arguments = ["status", "--name", "nobody"], Environment = address });
        Finished config = await ServeBinary.RunAsync(new Invocation { Arguments = ["config"], Environment = address });
        Finished configJson = await ServeBinary.RunAsync(new Invocation { Arguments = ["config", "--json"], Environment = address });

        Assert.Equal(0, status.ExitCode);
        string[] lines = status.Out.TrimEnd().Split('\n');
        Assert.Equal(["APPLICATION", "ROUTE", "DEPLOYMENT", "STATUS", "REPLICAS", "ONGOING", "QUEUED", "SHED", "MESSAGE"], lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(["slow", "/", "SlowDeployment", "HEALTHY", "1/1", "0", "0", "0"], lines[1].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.DoesNotContain('\e', status.Out);
        using JsonDocument document = JsonDocument.Parse(json.Out);
        Assert.Equal("RUNNING", document.RootElement.GetProperty("applications").GetProperty("echo").GetProperty("status").GetString());
        Assert.DoesNotContain("SlowDeployment", one.Out, StringComparison.Ordinal);
        Assert.Equal(1, none.ExitCode);
        Assert.Contains("There are: slow, echo", none.Error, StringComparison.Ordinal);
        using TempFolder folder = new();
        Finished check = await ServeBinary.RunAsync("check", folder.Write("c.toml", config.Out));
        Assert.Equal(0, check.ExitCode);
        using JsonDocument written = JsonDocument.Parse(configJson.Out);
        Assert.Equal(2, written.RootElement.GetProperty("applications").GetArrayLength());
    }

    [Theory]
    [InlineData("status")]
    [InlineData("config")]
    public async Task StatusAndConfig_NoServer_SayWhatToDo(string command)
    {
        Finished finished = await ServeBinary.RunAsync(command, "--address", "http://127.0.0.1:1");

        Assert.Equal(1, finished.ExitCode);
        Assert.Equal("No server answers at http://127.0.0.1:1/: Connection refused. Start one with 'serve run', or name its admin address with --address or SERVE_ADDRESS.\n", finished.Error);
        Assert.Empty(finished.Out);
    }

    [Fact]
    public async Task Build_ThenCheckAndRun_RoundTrips()
    {
        using TempFolder folder = new();
        string file = Path.Combine(folder.Path, "built.toml");

        Finished build = await ServeBinary.RunAsync("build", "--output", file);
        Finished again = await ServeBinary.RunAsync("build", "--output", file);
        Finished check = await ServeBinary.RunAsync("check", file);
        Finished standard = await ServeBinary.RunAsync(new Invocation { Shell = "\"$0\" build | \"$0\" check /dev/stdin" });
        await using ServeProcess server = await ServeProcess.StartAsync(await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken));

        Assert.Equal(0, build.ExitCode);
        Assert.Equal(1, again.ExitCode);
        Assert.Contains("--force", again.Error, StringComparison.Ordinal);
        Assert.Equal($"{file} is valid: 3 application(s), 3 deployment(s).\n", check.Out);
        Assert.Equal("/dev/stdin is valid: 3 application(s), 3 deployment(s).\n", standard.Out);
        Assert.Equal("ok", await server.Client.GetStringAsync("/echo", server.Deadline));
    }

    [Theory]
    [InlineData("statsu", "did you mean 'status'?")]
    [InlineData("--prot", "did you mean --port?", "run", "--prot", "1")]
    [InlineData("nonsense", "serve --help")]
    [InlineData("two files", "one argument too many", "run", "a", "b")]
    [InlineData("no file", "Which file?", "check")]
    public async Task WrongUsage_IsToldWithExitCodeTwo(string what, string said, params string[] arguments)
    {
        Finished finished = await ServeBinary.RunAsync(arguments.Length == 0 ? [what] : arguments);

        Assert.Equal(2, finished.ExitCode);
        Assert.Contains(said, finished.Error, StringComparison.Ordinal);
        Assert.Empty(finished.Out);
    }

    [Fact]
    public async Task Bare_WithoutConfiguration_HelpsWithExitCodeTwo()
    {
        using TempFolder folder = new();

        Finished finished = await ServeBinary.RunAsync(new Invocation { Directory = folder.Path });

        Assert.Equal(2, finished.ExitCode);
        Assert.Contains("There is no config.toml here to serve.", finished.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bare_WithConfiguration_Serves()
    {
        using TempFolder folder = new();
        folder.Write("config.toml", "[http_options]\nport = 80000\n");

        // The file is read: what is wrong with it is said.
        Finished finished = await ServeBinary.RunAsync(new Invocation { Directory = folder.Path });

        Assert.Equal(1, finished.ExitCode);
        Assert.Contains("config.toml:2:8: ", finished.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task HelpAndVersion_AreOnStandardOutput()
    {
        Finished help = await ServeBinary.RunAsync("--help");
        Finished version = await ServeBinary.RunAsync("--version");

        Assert.Equal(0, help.ExitCode);
        Assert.All(["run", "check", "build", "status", "config"], command => Assert.Contains($"\n  {command} ", help.Out, StringComparison.Ordinal));
        Assert.Matches(@"^serve \d+\.\d+\.\d+\n$", version.Out);
    }

    /// <summary>A terminal is left as it was found.</summary>
    [Theory]
    [InlineData("NO_COLOR", "1")]
    [InlineData("TERM", "dumb")]
    public async Task Output_TerminalThatShallHaveNoColour_HasTheTextAlone(string variable, string value)
    {
        await Programs.SkipWithoutAsync("script", "--version");
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();

        Finished status = await ServeBinary.RunAsync(new Invocation
        {
            Shell = "exec script -qec \"$0 status\" /dev/null",
            Environment = new Dictionary<string, string>(site.Environment) { ["SERVE_ADDRESS"] = server.AdminAddress.ToString(), ["NO_COLOR"] = "", ["TERM"] = "xterm", [variable] = value },
        });

        Assert.Contains("HEALTHY", status.Out, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', status.Out);
    }

    /// <summary>What a program was asked for and could not write is a failure, not a crash and not a success.</summary>
    [Theory]
    [InlineData("\"$0\" build > /dev/full", 1)]
    [InlineData("\"$0\" --help > /dev/full", 1)]
    [InlineData("\"$0\" check /nowhere 2> /dev/full", 1)]
    [InlineData("\"$0\" nonsense 2> /dev/full", 2)]
    [InlineData("\"$0\" run /nowhere 2>&-", 1)]
    [InlineData("\"$0\" run /nowhere <&- >&- 2>&-", 1)]
    public async Task Output_CannotBeWritten_IsAFailureAndNoCrash(string shell, int exitCode)
    {
        Finished finished = await ServeBinary.RunAsync(new Invocation { Shell = shell });

        Assert.Equal(exitCode, finished.ExitCode);
        Assert.DoesNotContain("Unhandled", finished.Error, StringComparison.Ordinal);
    }
}
