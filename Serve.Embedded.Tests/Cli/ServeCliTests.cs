using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Serve.Embedded.Cli;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Hosting;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Cli;

public sealed class ServeCliTests
{
    public static TheoryData<string> CommandNames => new(Help().Split('\n')
        .SkipWhile(l => l != "Commands:").Skip(1).TakeWhile(l => l.Length > 0).Select(l => l.Trim().Split(' ')[0]));

    [Theory]
    [InlineData("--help")]
    [InlineData("-h")]
    [InlineData("help")]
    public async Task Help_AskedFor_IsOutputAndDone(string word)
    {
        CliRun run = await CliRun.RunAsync(word);

        Assert.Equal(0, run.ExitCode);
        Assert.Contains("Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.", run.Out, StringComparison.Ordinal);
        Assert.Empty(run.Error);
    }

    /// <summary>Every command has help that says its usage, what it does and all of its options, each with a sentence.</summary>
    [Theory]
    [MemberData(nameof(CommandNames))]
    public async Task Help_OfEveryCommand_SaysUsageAndEachOption(string command)
    {
        CliRun run = await CliRun.RunAsync(command, "--help");

        Assert.Equal(0, run.ExitCode);
        Assert.StartsWith($"Usage: serve {command} [OPTIONS]", run.Out, StringComparison.Ordinal);
        string[] options = [.. run.Out.Split('\n').SkipWhile(l => l != "Options:").Skip(1).Where(l => l.Length > 0)];
        Assert.NotEmpty(options);
        Assert.All(options, line => Assert.Matches(@"^  --[a-z-]+( [A-Z_]+)?  +\S.*[.]$", line));
        Assert.All(run.Out.Split('\n'), line => Assert.Equal(line.TrimEnd(), line));
    }

    /// <summary>Help comes before anything is done or checked, wherever it is asked for.</summary>
    [Fact]
    public async Task Help_AmongOtherWords_Wins() =>
        Assert.Equal(0, (await CliRun.RunAsync("run", "nowhere.toml", "--prot", "--help")).ExitCode);

    /// <summary>The README's table of commands is the list of commands.</summary>
    [Fact]
    public void Commands_AreThoseOfTheReadme()
    {
        string readme = Guards.Repository.Read("README.md");

        Assert.All(CommandNames, row => Assert.Contains($"| `serve {row.Data}", readme, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Version_IsTheProjects()
    {
        CliRun run = await CliRun.RunAsync("--version");

        Assert.Equal(0, run.ExitCode);
        Assert.Contains($"<Version>{run.Out.Trim()["serve ".Length..]}</Version>", Guards.Repository.Read("Serve.Embedded.csproj"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("There is no command 'stauts'; did you mean 'status'? 'serve --help' lists them.\n", "stauts")]
    [InlineData("There is no command 'xyzzy'. 'serve --help' lists them.\n", "xyzzy")]
    [InlineData("Unknown option --jsn; did you mean --json? 'serve status --help' says how to use it.\n", "status", "--jsn")]
    [InlineData("'more' is one argument too many. 'serve check --help' says how to use it.\n", "check", "one", "more")]
    [InlineData("'word' is one argument too many. 'serve status --help' says how to use it.\n", "status", "word")]
    [InlineData("Which file? Write: serve check CONFIG. 'serve check --help' says how to use it.\n", "check")]
    [InlineData("'nowhere' is not an address. Write it like http://127.0.0.1:8265. 'serve status --help' says how to use it.\n", "status", "--address", "nowhere")]
    [InlineData("'ftp://x' is not an address. Write it like http://127.0.0.1:8265. 'serve config --help' says how to use it.\n", "config", "--address=ftp://x")]
    [InlineData("--timeout makes sense only with --wait. 'serve deploy --help' says how to use it.\n", "deploy", "config.toml", "--timeout", "3")]
    [InlineData("--timeout is 'soon': it must be a number of seconds above 0. 'serve deploy --help' says how to use it.\n", "deploy", "config.toml", "--wait", "--timeout", "soon")]
    [InlineData("--timeout is 'soon': it must be a number of seconds above 0. 'serve rollback --help' says how to use it.\n", "rollback", "--wait", "--timeout", "soon")]
    [InlineData("No application 'builtin:none' is compiled in. There are: builtin:slow, builtin:echo, builtin:faulty. 'serve build --help' says how to use it.\n", "build", "--app", "builtin:none")]
    public async Task WrongUsage_IsToldOnStandardErrorWithExitCodeTwo(string error, params string[] words)
    {
        CliRun run = await CliRun.RunAsync(words);

        Assert.Equal(error, run.Error.ReplaceLineEndings("\n"));
        Assert.Equal(2, run.ExitCode);
        Assert.Empty(run.Out);
    }

    [Fact]
    public async Task Check_Json_HasEveryErrorWithItsPlace()
    {
        using TempFolder scratch = new();
        string file = scratch.Write("config.toml", "[http_options]\nport = -1\nhots = \"x\"\n");

        CliRun run = await CliRun.RunAsync("check", "--json", file);

        Assert.Equal(1, run.ExitCode);
        Assert.Empty(run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        Assert.False(document.RootElement.GetProperty("valid").GetBoolean());
        List<JsonElement> errors = [.. document.RootElement.GetProperty("errors").EnumerateArray()];
        Assert.Contains(errors, e => e.GetProperty("line").GetInt32() == 2 && e.GetProperty("column").GetInt32() == 8);
        Assert.Contains(errors, e => e.GetProperty("line").GetInt32() == 3 && e.GetProperty("column").GetInt32() == 1 && e.GetProperty("message").GetString()!.Contains("host", StringComparison.Ordinal));
        Assert.All(errors, e => Assert.Equal(file, e.GetProperty("source").GetString()));
    }

    [Fact]
    public async Task Check_ValidFile_SaysWhatIsInIt()
    {
        using TempFolder scratch = new();
        string file = scratch.Write("config.toml", "[[applications]]\nimport_path = \"builtin:echo\"\n");

        CliRun text = await CliRun.RunAsync("check", file);
        CliRun json = await CliRun.RunAsync("check", file, "--json");

        Assert.Equal($"{file} is valid: 1 application(s), 1 deployment(s).", text.Out.Trim());
        Assert.Equal("{\"valid\":true,\"errors\":[],\"warnings\":[]}", json.Out.Trim());
        Assert.Equal(0, text.ExitCode + json.ExitCode);
    }

    [Fact]
    public async Task Check_KeyWithoutEffect_WarnsAndIsValid()
    {
        using TempFolder scratch = new();
        string file = scratch.Write("config.toml", "[[applications]]\nimport_path = \"builtin:echo\"\ndeployments = [{ name = \"Echo\", graceful_shutdown_wait_loop_s = 2 }]\n");

        CliRun text = await CliRun.RunAsync("check", file);
        CliRun json = await CliRun.RunAsync("check", file, "--json");

        Assert.Equal(0, text.ExitCode + json.ExitCode);
        Assert.Equal($"{file}:3:65: warning: graceful_shutdown_wait_loop_s has no effect here: a replica stops as soon as it is idle", text.Error.Trim());
        using JsonDocument document = JsonDocument.Parse(json.Out);
        JsonElement warning = Assert.Single(document.RootElement.GetProperty("warnings").EnumerateArray());
        Assert.Equal((3, 65), (warning.GetProperty("line").GetInt32(), warning.GetProperty("column").GetInt32()));
        Assert.Empty(json.Error);
    }

    [Fact]
    public async Task Build_AutoscalingInCode_IsWrittenAndReadBackTheSame()
    {
        using TempFolder scratch = new();
        AutoscalingOptions autoscaling = new() { MinReplicas = 0, MaxReplicas = 8, UpscaleDelay = TimeSpan.Zero, Aggregation = AggregationFunction.Max };
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:app", app => app.AddHttp("One", _ => new EchoDeployment(), new() { Autoscaling = autoscaling }));
        using StringWriter output = new();

        int exitCode = await ServeCli.RunAsync(["build"], new CliContext(registry, output, TextWriter.Null, _ => null, Colour: false));

        Assert.Equal(0, exitCode);
        ConfigResult read = ConfigSource.ReadFile(scratch.Write("config.toml", output.ToString()), registry);
        Assert.Empty(read.Errors);
        DeploymentConfig written = read.Config!.Applications[0].Deployments[0];
        Assert.True(written.NumReplicas!.Value.IsAuto);
        Assert.Equal(
            new AutoscalingConfig { MinReplicas = 0, MaxReplicas = 8, UpscaleDelay = TimeSpan.Zero, Aggregation = AggregationFunction.Max },
            written.Autoscaling);
    }

    [Fact]
    public async Task Build_OneApplication_IsAtTheRootUnderDefault()
    {
        using TempFolder scratch = new();

        CliRun one = await CliRun.RunAsync("build", "--app", "builtin:echo");
        CliRun check = await CliRun.RunAsync("check", scratch.Write("config.toml", one.Out));

        Assert.Contains("name = \"default\"", one.Out, StringComparison.Ordinal);
        Assert.Contains("route_prefix = \"/\"", one.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("import_path = \"builtin:slow\"", one.Out, StringComparison.Ordinal);
        Assert.Equal(0, check.ExitCode);
    }

    [Fact]
    public async Task Build_ExistingFile_IsOverwrittenOnlyByForce()
    {
        using TempFolder scratch = new();
        string file = scratch.Write("config.toml", "mine");

        CliRun refused = await CliRun.RunAsync("build", "--output", file);
        string kept = await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken);
        CliRun forced = await CliRun.RunAsync("build", "--output", file, "--force");
        CliRun nowhere = await CliRun.RunAsync("build", "--output", "/nowhere/config.toml");

        Assert.Equal(1, refused.ExitCode);
        Assert.Equal("mine", kept);
        Assert.Equal(0, forced.ExitCode);
        Assert.Equal(0, (await CliRun.RunAsync("check", file)).ExitCode);
        Assert.Equal(1, nowhere.ExitCode);
        Assert.StartsWith("Cannot write /nowhere/config.toml: ", nowhere.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Status_NobodyAnswers_SaysWhatToDo()
    {
        CliRun run = await CliRun.RunAsync(new Dictionary<string, string> { ["SERVE_ADDRESS"] = "http://127.0.0.1:1" }, "status");

        Assert.Equal(1, run.ExitCode);
        Assert.StartsWith("No server answers at http://127.0.0.1:1/: ", run.Error, StringComparison.Ordinal);
        Assert.Contains("Start one with 'serve run', or name its admin address with --address or SERVE_ADDRESS.", run.Error, StringComparison.Ordinal);
    }

    /// <summary>It was accepted: who is told only that nobody answers would look for another address.</summary>
    [Fact]
    public async Task DeployWait_TheServerIsGoneMeanwhile_SaysThatItWasAcceptedAndFails()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        using TempFolder folder = new();
        Task<CliRun> deploy = CliRun.RunAsync("deploy", folder.Write("config.toml", ""), "--wait", "--address", $"http://{listener.LocalEndpoint}");
        using (Socket asked = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken))
        {
            listener.Stop();
            await asked.ReceiveAsync(new byte[4096], TestContext.Current.CancellationToken);
            await asked.SendAsync("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"generation\":2}"u8.ToArray(), TestContext.Current.CancellationToken);
            asked.Shutdown(SocketShutdown.Send);
        }

        CliRun run = await deploy;

        Assert.Equal((1, ""), (run.ExitCode, run.Out));
        Assert.StartsWith("Generation 2 was accepted, and its end is not known, since the server can no longer be asked: No server answers at ", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Status_AFailureOfADeploymentThatIsHeldBackToo_AreTwoSentences()
    {
        Probe probe = new();
        probe.ConstructorFailures.Enqueue(new InvalidOperationException("No module named 'starlette'"));
        ServeConfig config = Probe.Config(new() { Name = "Probe", NumReplicas = 2, NumCpus = 1, MaxConstructorRetryCount = 1 });
        await using TestServer server = await TestServer.StartAsync(probe.Register(), config with { Box = new() { Cpus = 1 } }, new ManualTimeProvider());

        CliRun run = await CliRun.RunAsync("status", "--address", server.Server.AdminAddresses[0]);

        Assert.Contains("Error: No module named 'starlette'. Held back by the box", run.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Output_CannotBeWritten_IsSaidAndFails()
    {
        using StringWriter error = new();
        CliContext context = new(new DeploymentRegistry().AddBuiltIn(), new FullDisk(), error, _ => null, Colour: false);

        int exitCode = await ServeCli.RunAsync(["build"], context);

        Assert.Equal(1, exitCode);
        Assert.Equal("Cannot write the output: No space left on device", error.ToString().Trim());
    }

    [Fact]
    public async Task Error_CannotBeWritten_LeavesTheExitCode()
    {
        CliContext context = new(new DeploymentRegistry().AddBuiltIn(), new FullDisk(), new FullDisk(), _ => null, Colour: false);

        Assert.Equal(2, await ServeCli.RunAsync(["nonsense"], context));
        Assert.Equal(1, await ServeCli.RunAsync(["check", "/nowhere"], context));
        Assert.Equal(1, await ServeCli.RunAsync(["build"], context));
    }

    private static string Help() => CliRun.RunAsync("--help").GetAwaiter().GetResult().Out;

    private sealed class FullDisk : TextWriter
    {
        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value) => throw new IOException("No space left on device");
    }
}
