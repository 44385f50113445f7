using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinaryBootTests
{
    private const int KillSignal = 9;

    [Fact]
    public async Task Start_Empty_TakesWhatIsDeployed()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.CommandAsync("start");

        Finished empty = await site.RunAsync(server, "status");
        Finished noConfig = await site.RunAsync(server, "config");
        Finished deploy = await site.RunAsync(server, "deploy", site.ConfigPath, "--wait");

        Assert.Equal((0, "Nothing is deployed.\n"), (empty.ExitCode, empty.Out));
        Assert.Equal((0, "No configuration was found.\n"), (noConfig.ExitCode, noConfig.Out));
        Assert.Equal((0, string.Empty), (deploy.ExitCode, deploy.Error));
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    [ContractRow(45)]
    public async Task Run_AfterAKill_ResumesTheLastGoodGenerationOrServesTheFile()
    {
        using OperatorSite site = new(Toml.Slow(message: "File!"));
        await using (ServeProcess server = await site.StartAsync())
        {
            Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", Toml.Slow(message: "Deployed!")), "--wait");
            Assert.Equal(0, deploy.ExitCode);

            // What fails after it is not what a start goes back to.
            Finished failed = await site.RunAsync(server, "deploy", site.Write("bad.toml", Toml.Slow(delay: -1, message: "Bad!")), "--wait");
            Assert.Equal(1, failed.ExitCode);
            server.Signal(KillSignal);
            await server.ExitAsync();
        }

        await using (ServeProcess resumed = await site.StartAsync("--resume"))
        {
            Finished status = await site.RunAsync(resumed, "status");

            Assert.Equal("Deployed!", await resumed.Client.GetStringAsync("/", resumed.Deadline));
            Assert.Contains(resumed.Lines, l => l.Contains("Resumes generation 2, the last that was good, and not the file", StringComparison.Ordinal));
            Assert.StartsWith($"What runs is not what {site.ConfigPath} says: ", status.Out, StringComparison.Ordinal);
            resumed.Signal(KillSignal);
            await resumed.ExitAsync();
        }

        await using ServeProcess plain = await site.StartAsync();
        Assert.Equal("File!", await plain.Client.GetStringAsync("/", plain.Deadline));
    }

    [Fact]
    public async Task Run_ResumeWithNothingToResume_ServesTheFileAndSaysSo()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync("--resume");

        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        Assert.Contains(server.Lines, l => l.StartsWith("WARNING ", StringComparison.Ordinal) && l.Contains("No earlier run has left a good generation in ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("[[applications")]
    [InlineData("prot = 1")]
    public async Task Run_FallbackWithABrokenFile_ServesTheLastGoodGenerationLoudly(string broken)
    {
        using OperatorSite site = new(Toml.Slow());
        await using (ServeProcess server = await site.StartAsync())
        {
            server.Signal(ServeBinary.Terminate);
            Assert.Equal(0, await server.ExitAsync());
        }

        site.Write($"{broken}\n");
        await using ServeProcess back = await site.StartAsync("--fallback");
        Finished status = await site.RunAsync(back, "status");

        Assert.Equal("Hello!", await back.Client.GetStringAsync("/", back.Deadline));
        Assert.Contains(back.Lines, l => l.StartsWith("CRITICAL ", StringComparison.Ordinal) && l.Contains("Falls back to generation 1", StringComparison.Ordinal));
        Assert.StartsWith("The server fell back to generation 1: ", status.Out, StringComparison.Ordinal);
        Assert.Contains("config.toml:", status.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("fail_start = true", "fails to start")]
    [InlineData("fail_health_after_s = 0.0", "is not well")]
    public async Task Run_FallbackWithAFileThatNeverBecomesHealthy_ServesTheLastGoodGenerationLoudly(string fault, string why)
    {
        static string Faulty(string args) => $$"""
            [[applications]]
            name = "faulty"
            import_path = "builtin:faulty"
            args = { {{args}} }

              [[applications.deployments]]
              name = "Faulty"
              max_constructor_retry_count = 2

            """;
        using OperatorSite site = new(Faulty("version = \"v1\""));
        await using (ServeProcess server = await site.StartAsync())
        {
            server.Signal(ServeBinary.Terminate);
            Assert.Equal(0, await server.ExitAsync());
        }

        site.Write(Faulty($"version = \"v2\", {fault}"));
        await using ServeProcess back = await site.StartAsync("--fallback");
        Finished status = await site.RunAsync(back, "status");
        Finished history = await site.RunAsync(back, "history");

        Assert.Equal("v1", await back.Client.GetStringAsync("/", back.Deadline));
        Assert.Contains(back.Lines, l => l.StartsWith("CRITICAL ", StringComparison.Ordinal) && l.Contains("Falls back to generation 1", StringComparison.Ordinal) && l.Contains(why, StringComparison.Ordinal));
        Assert.StartsWith("The server fell back to generation 1: ", status.Out, StringComparison.Ordinal);
        Assert.Contains("is valid but did not come up", status.Out, StringComparison.Ordinal);
        Assert.Contains(why, status.Out, StringComparison.Ordinal);
        Assert.Contains(history.Out.Split('\n'), l => l.StartsWith("2 ", StringComparison.Ordinal) && l.Contains(" failed ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Run_BrokenFileAndNothingToFallBackTo_DoesNotStart()
    {
        using OperatorSite site = new("prot = 1\n");

        Finished run = await ServeBinary.RunAsync(new Invocation { Arguments = ["run", site.ConfigPath, "--fallback"], Directory = site.Folder, Environment = site.Environment });

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("config.toml:1:1: ", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_SecondServerWithTheSameFile_ServesWithoutKeepingGenerationsAndSaysSo()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess first = await site.StartAsync();
        await using ServeProcess second = await site.StartAsync();

        Finished status = await site.RunAsync(second, "status");
        Finished deploy = await site.RunAsync(second, "deploy", site.Write("next.toml", Toml.Slow(message: "Second!")), "--wait");
        Finished history = await site.RunAsync(first, "history");

        Assert.Contains(second.Lines, l => l.StartsWith("WARNING ", StringComparison.Ordinal) && l.Contains("Another server", StringComparison.Ordinal));
        Assert.Contains("memory only", status.Out, StringComparison.Ordinal);
        Assert.Contains("Another server", status.Out, StringComparison.Ordinal);
        Assert.Equal(0, deploy.ExitCode);
        Assert.Equal("Second!", await second.Client.GetStringAsync("/", second.Deadline));
        Assert.Equal("Hello!", await first.Client.GetStringAsync("/", first.Deadline));
        Assert.Equal(2, history.Out.TrimEnd().Split('\n').Length);
    }

    [Fact]
    public async Task Run_StateFolderThatTakesNothing_WarnsAndServes()
    {
        // Not even root can make a folder there.
        using OperatorSite site = new("[controller_options]\nstate_dir = \"/proc/serve\"\n" + Toml.Slow());
        await using ServeProcess server = await site.StartAsync();

        Finished status = await site.RunAsync(server, "status");
        Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", "[controller_options]\nstate_dir = \"/proc/serve\"\n" + Toml.Slow(message: "Two!")), "--wait");
        Finished back = await site.RunAsync(server, "rollback", "--wait");

        Assert.Contains(server.Lines, l => l.StartsWith("WARNING ", StringComparison.Ordinal) && l.Contains("kept in memory only", StringComparison.Ordinal) && l.Contains("/proc/serve", StringComparison.Ordinal));
        Assert.Contains("kept in memory only", status.Out, StringComparison.Ordinal);
        Assert.Equal((0, 0), (deploy.ExitCode, back.ExitCode));
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    /// <summary>Beyond that limit the kernel ends a process that has not asked it otherwise, and the framework's exception is not one of files.</summary>
    [Fact]
    public async Task Run_FilesThatMayNotGrow_WarnsAndServes()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(), "ulimit -f 0; exec \"$0\" \"$@\"");

        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        Assert.Contains(server.Lines, l => l.StartsWith("WARNING ", StringComparison.Ordinal) && l.Contains("kept in memory only", StringComparison.Ordinal) && l.Contains("The limit of file size (ulimit -f, LimitFSIZE=)", StringComparison.Ordinal));
        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
    }
}
