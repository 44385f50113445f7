using System.Diagnostics;
using System.Text.Json;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinaryDeployTests
{
    private static readonly string Boom = Toml.Slow(message: "Bad!").Replace("delay_s = 0.0", "delay_s = \"boom\"", StringComparison.Ordinal);

    [Fact]
    public async Task Deploy_ChangedFile_IsAcceptedAndServed()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();

        Finished sent = await site.RunAsync(server, "deploy", site.Write("next.toml", Toml.Slow(message: "Bye!")));
        Finished waited = await site.RunAsync(server, "deploy", site.Write("next.toml", Toml.Slow(message: "Again!")), "--wait");

        Assert.Equal((0, string.Empty), (sent.ExitCode, sent.Error));
        Assert.Equal("Sent deploy request successfully. It is generation 2. 'serve status' shows how it comes up, 'serve config' what was accepted.\n", sent.Out);
        Assert.Equal((0, "Generation 3 is healthy.\n", string.Empty), (waited.ExitCode, waited.Out, waited.Error));
        Assert.Equal("Again!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task Deploy_FileWithErrors_NamesEachPlaceAndChangesNothing()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();
        string broken = site.Write("broken.toml", "[http_options]\nport = 80000\nprot = 1\n[[applications]]\nname = \"a\"\nimport_path = \"builtin:nothing\"\n");

        Finished deploy = await site.RunAsync(server, "deploy", broken, "--wait");
        Finished missing = await site.RunAsync(server, "deploy", "nowhere.toml");
        Finished history = await site.RunAsync(server, "history");

        Assert.Equal((1, string.Empty), (deploy.ExitCode, deploy.Out));
        foreach (string place in (string[])[":2:8: ", ":3:1: ", ":6:15: "])
        {
            Assert.Contains($"{broken}{place}", deploy.Error, StringComparison.Ordinal);
        }

        Assert.Equal(1, missing.ExitCode);
        Assert.StartsWith("Cannot read nowhere.toml: ", missing.Error, StringComparison.Ordinal);
        Assert.Equal(2, history.Out.TrimEnd().Split('\n').Length);
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Theory]
    [InlineData("\"boom\"", "$.delay_s")]
    [InlineData("-1.0", "delay_s is -1")]
    public async Task Deploy_UserConfigThatTheHandlerRefuses_FailsWithTheReasonAndTheOldServesOn(string delay, string reason)
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();
        string bad = site.Write("bad.toml", Toml.Slow(message: "Bad!").Replace("delay_s = 0.0", $"delay_s = {delay}", StringComparison.Ordinal));

        Finished deploy = await site.RunAsync(server, "deploy", bad, "--wait");
        Finished status = await site.RunAsync(server, "status");

        Assert.Equal((1, string.Empty), (deploy.ExitCode, deploy.Out));
        Assert.StartsWith("Generation 2 has failed, and what was good before serves on: ", deploy.Error, StringComparison.Ordinal);
        Assert.Contains(reason, deploy.Error, StringComparison.Ordinal);
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        Assert.StartsWith($"What runs is not what {site.ConfigPath} says: ", status.Out, StringComparison.Ordinal);
        Assert.Contains("The goal is generation 2 (REST).", status.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deploy_WhatFailedBefore_IsTriedAgainOnlyWithForce()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();
        string bad = site.Write("bad.toml", Boom);
        await site.RunAsync(server, "deploy", bad, "--wait");

        int from = server.LineCount;
        Finished again = await site.RunAsync(server, "deploy", bad, "--wait");
        await server.LineAsync("is not tried again: its configuration has not changed since it failed", from);
        IReadOnlyList<string> unforced = [.. server.Lines.Skip(from)];
        from = server.LineCount;
        Finished forced = await site.RunAsync(server, "deploy", bad, "--wait", "--force");

        Assert.Equal((1, 1), (again.ExitCode, forced.ExitCode));
        Assert.DoesNotContain(unforced, l => l.Contains("refused the new user_config", StringComparison.Ordinal));
        await server.LineAsync("refused the new user_config", from);
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task Deploy_OneApplicationFails_TheOtherComesUpUnlessAtomic()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();

        Finished atomic = await site.RunAsync(server, "deploy", site.Write("bad.toml", Boom + Toml.EchoApplication()), "--wait", "--atomic");
        string routesAfterAtomic = await server.Client.GetStringAsync("/-/routes", server.Deadline);
        Finished each = await site.RunAsync(server, "deploy", site.Write("bad.toml", Boom + Toml.EchoApplication("/e")), "--wait", "--force");

        Assert.Equal((1, 1), (atomic.ExitCode, each.ExitCode));
        Assert.Equal("{\"/\":\"slow\"}", routesAfterAtomic);
        Assert.Equal("ok", await server.Client.GetStringAsync("/e", server.Deadline));
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task HistoryAndRollback_GoBackFromGenerationToGeneration()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();
        Finished nothing = await site.RunAsync(server, "rollback");
        await site.RunAsync(server, "deploy", site.Write("two.toml", Toml.Slow(message: "Two!")), "--wait");
        await site.RunAsync(server, "deploy", site.Write("bad.toml", Boom), "--wait");

        Finished back = await site.RunAsync(server, "rollback", "--wait");
        string afterBack = await server.Client.GetStringAsync("/", server.Deadline);
        Finished first = await site.RunAsync(server, "rollback", "1", "--wait");
        string afterFirst = await server.Client.GetStringAsync("/", server.Deadline);
        Finished unknown = await site.RunAsync(server, "rollback", "99");
        Finished noNumber = await site.RunAsync(server, "rollback", "one");
        Finished history = await site.RunAsync(server, "history");
        Finished json = await site.RunAsync(server, "history", "--json");

        Assert.Equal(1, nothing.ExitCode);
        Assert.Contains("There is no good generation before the one that runs.", nothing.Error, StringComparison.Ordinal);
        Assert.Equal((0, "Generation 4 is healthy.\n", "Two!"), (back.ExitCode, back.Out, afterBack));
        Assert.Equal((0, "Generation 5 is healthy.\n", "Hello!"), (first.ExitCode, first.Out, afterFirst));
        Assert.Equal(1, unknown.ExitCode);
        Assert.Contains("There is no generation 99.", unknown.Error, StringComparison.Ordinal);
        Assert.Equal(2, noNumber.ExitCode);
        string[] lines = history.Out.TrimEnd().Split('\n');
        Assert.Equal(["GENERATION", "ACCEPTED", "SOURCE", "OUTCOME", "REASON"], lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(6, lines.Length);
        Assert.Contains(lines, l => l.StartsWith("4 ", StringComparison.Ordinal) && l.Contains("(from 2)", StringComparison.Ordinal) && l.Contains("good", StringComparison.Ordinal));
        using JsonDocument document = JsonDocument.Parse(json.Out);
        Assert.Equal(
            ["1 good", "2 good", "3 failed", "4 good", "5 good"],
            document.RootElement.GetProperty("generations").EnumerateArray().Select(g => $"{g.GetProperty("generation").GetInt32()} {g.GetProperty("outcome").GetString()}").Order());
    }

    [Fact]
    public async Task Config_Diff_ShowsWhatAFileWouldChangeAndChangesNothing()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();

        Finished same = await site.RunAsync(server, "config", "--diff");
        Finished sameFile = await site.RunAsync(server, "config", "--diff", site.ConfigPath);
        Finished other = await site.RunAsync(server, "config", "--diff", site.Write("next.toml", Toml.Slow(replicas: 3, message: "Bye!") + Toml.EchoApplication()));
        Finished broken = await site.RunAsync(server, "config", "--diff", site.Write("broken.toml", "prot = 1\n"));
        Finished config = await site.RunAsync(server, "config");

        Assert.Equal((0, "Nothing differs.\n"), (same.ExitCode, same.Out));
        Assert.Equal((0, "Nothing differs.\n"), (sameFile.ExitCode, sameFile.Out));
        Assert.Equal(0, other.ExitCode);
        Assert.Contains("num_replicas: 1 -> 3 (live)", other.Out, StringComparison.Ordinal);
        Assert.Contains("user_config", other.Out, StringComparison.Ordinal);
        Assert.Contains("applications.echo: added", other.Out, StringComparison.Ordinal);
        Assert.Equal(1, broken.ExitCode);
        Assert.Contains("broken.toml:1:1: ", broken.Error, StringComparison.Ordinal);
        Assert.Contains("message = \"Hello!\"", config.Out, StringComparison.Ordinal);
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    /// <summary>Its worker is there and never answers: the deploy is neither healthy nor failed while the test looks.</summary>
    [Fact]
    public async Task Deploy_InterruptedWhileItWaits_EndsAsByTheSignalAndTheServerGoesOn()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();
        string next = site.Write("next.toml", "[[applications]]\n[[applications.deployments]]\nname = \"w\"\ncommand = [\"sh\", \"-c\", \"echo it is there; exec sleep 3600\"]\n");
        Process deploy = ServeBinary.Start(site.Command("deploy", next, "--wait", "--address", server.AdminAddress.ToString()));
        Task<Finished> ended = ServeBinary.RunToEndAsync(deploy);
        await server.LineAsync("it is there");

        ServeBinary.Kill(deploy.Id, ServeBinary.Interrupt);
        Finished interrupted = await ended;
        Finished history = await site.RunAsync(server, "history");

        Assert.Equal((130, string.Empty), (interrupted.ExitCode, interrupted.Out));
        Assert.StartsWith("Interrupted", interrupted.Error, StringComparison.Ordinal);
        Assert.Contains("'serve status' shows ", interrupted.Error, StringComparison.Ordinal);
        Assert.Matches("\n2 .* pending", history.Out);
    }

    [Fact]
    [ContractRow(49)]
    public async Task Shutdown_RunningServer_EndsIt()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();

        Finished shutdown = await site.RunAsync(server, "shutdown");

        Assert.Equal((0, string.Empty), (shutdown.ExitCode, shutdown.Error));
        Assert.Equal(0, await server.ExitAsync());
        Assert.Contains("Stopped", server.Lines[^1], StringComparison.Ordinal);
    }
}
