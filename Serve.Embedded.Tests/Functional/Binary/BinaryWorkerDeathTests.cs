using System.Diagnostics;
using System.Text.Json;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>What an operator sees of workers that die, and of what the system does not grant them.</summary>
public sealed class BinaryWorkerDeathTests
{
    /// <summary>It writes its reason before a flood, on the other stream, and its log is switched off: the reason is shown all the same.</summary>
    private const string Talkative = "echo the disk is missing >&2; i=0; while [ $i -lt 3000 ]; do echo noise; i=$((i+1)); done; exit 3";

    [Fact]
    public async Task Deploy_WorkerThatDiesInAFlood_ShowsItsLastWordsAndNotTheFlood()
    {
        using OperatorSite site = new("applications = []\n");
        await using ServeProcess server = await site.StartAsync();

        Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", "[logging_config]\nlog_level = \"ERROR\"\n" + WorkerSite.Command($"[\"sh\", \"-c\", \"{Talkative}\"]")), "--wait");
        Finished status = await site.RunAsync(server, "status");

        Assert.Equal(1, deploy.ExitCode);
        Assert.Contains("exit code 3", deploy.Error, StringComparison.Ordinal);
        Assert.Contains("Its last log lines: the disk is missing", deploy.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("| noise", deploy.Error, StringComparison.Ordinal);
        Assert.Contains("that failed:\n  the disk is missing", status.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("\n  noise", status.Out, StringComparison.Ordinal);
    }

    /// <summary>Every replica of two deployments lacks the same, and it is said once; what is granted is not spoken of.</summary>
    [Fact]
    public async Task Status_LimitsWithoutAController_SaysWhichKeyHasNoEffectAndWhyOnce()
    {
        Assert.SkipWhen(
            File.Exists("/sys/fs/cgroup/cgroup.controllers") || (File.Exists("/sys/fs/cgroup/unified/cgroup.controllers") && (await File.ReadAllTextAsync("/sys/fs/cgroup/unified/cgroup.controllers", TestContext.Current.CancellationToken)).Contains("memory", StringComparison.Ordinal)),
            "This machine has control groups that may hold memory.");
        using OperatorSite site = await WorkerSite.CreateAsync("memory_max_mb = 512\nrlimits = { core_mb = 0 }");
        await using ServeProcess server = await site.StartAsync();

        Finished status = await site.RunAsync(server, "status");

        string notice = Assert.Single(status.Out.Split('\n'), l => l.Contains("memory_max_mb", StringComparison.Ordinal));
        Assert.StartsWith("The workers of 'Worker' of application 'py' run without something that they were to have: memory_max_mb = 512 has no effect: ", notice, StringComparison.Ordinal);
        Assert.DoesNotContain("core_mb", status.Out, StringComparison.Ordinal);
        Assert.Contains("HEALTHY", status.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Details_Worker_NameItsProcessAndNotTheServers()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using Process worker = await WorkerSite.AskForProcessAsync(server);

        using JsonDocument details = JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(server.AdminAddress, "/api/serve/applications/"), server.Deadline));

        JsonElement replicas = details.RootElement.GetProperty("applications").GetProperty("py").GetProperty("deployments").GetProperty("Worker").GetProperty("replicas");
        Assert.Contains(worker.Id, replicas.EnumerateArray().Select(static r => r.GetProperty("pid").GetInt32()));
    }

    [Fact]
    public async Task Status_WorkerThatTheSystemRefusesSomething_SaysWhichKeyAndWhyOnce()
    {
        using OperatorSite site = await WorkerSite.CreateAsync("cpu_affinity = [1023]");
        await using ServeProcess server = await site.StartAsync();

        Finished status = await site.RunAsync(server, "status");

        string notice = Assert.Single(status.Out.Split('\n'), l => l.Contains("cpu_affinity", StringComparison.Ordinal));
        Assert.StartsWith("The workers of 'Worker' of application 'py' run without something that they were to have: cpu_affinity = [1023] is refused: ", notice, StringComparison.Ordinal);
        Assert.Contains("HEALTHY", status.Out, StringComparison.Ordinal);
    }
}
