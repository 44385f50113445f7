using System.Globalization;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>The guard's pipe ends in the same way when the server disposes of it and when the server is killed: what it does then is tested here, and a server that is killed with the published binary.</summary>
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
public sealed class WorkerGuardTests : IAsyncDisposable
{
    private const string Stubborn = "trap '' TERM INT HUP; echo $$; while :; do sleep 1000; done";

    private readonly TestWorkers _workers = new();

    [Fact]
    public async Task PipeEnds_WorkersAndTheirDescendants_AreKilled()
    {
        WorkerProcess worker = await _workers.StartedAsync($"setsid sh -c \"{Stubborn.Replace("$", "\\$", StringComparison.Ordinal)}\" & {Stubborn}");
        WorkerProcess other = await _workers.StartedAsync(Stubborn);

        await _workers.Guard.DisposeAsync();

        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
        Assert.Equal(9, (await other.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
        Assert.All(_workers.Texts, WorkerProcessTests.AssertGone);
    }

    [Fact]
    public async Task PipeEnds_WorkerThatWasNotListedYet_IsFoundByItsMark()
    {
        WorkerProcess worker = await _workers.StartedAsync(Stubborn);
        _workers.Guard.Remove(worker.Id);

        await _workers.Guard.DisposeAsync();

        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
    }

    [Fact]
    public async Task PipeEnds_WorkersOfAnotherServer_LiveOn()
    {
        await using TestWorkers others = new();
        WorkerProcess other = await others.StartedAsync(Stubborn);
        await _workers.StartedAsync(Stubborn);

        await _workers.Guard.DisposeAsync();

        Assert.True(NativeProcess.Signal(other.Id, 0));
        Assert.False(other.Exited.IsCompleted);
        await other.StopAsync(TimeSpan.Zero);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(15)]
    public async Task Signal_OfThoseThatEndAServer_DoesNotEndTheGuard(int signal)
    {
        WorkerProcess worker = await _workers.StartedAsync(Stubborn);
        int guard = _workers.Guard.ProcessId!.Value;

        Assert.True(NativeProcess.Signal(guard, signal));
        await _workers.Guard.DisposeAsync();

        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
        Assert.Equal(0, _workers.Logs.Count);
    }

    [Fact]
    public async Task Guard_Itself_HoldsItsPipeOnlyAndLeadsASession()
    {
        await _workers.StartedAsync(Stubborn);
        int guard = _workers.Guard.ProcessId!.Value;

        string[] targets = [.. Directory.GetFiles($"/proc/{guard}/fd").Order(StringComparer.Ordinal).Select(static f => File.ResolveLinkTarget(f, returnFinalTarget: false)!.Name)];
        Assert.Equal(3, targets.Length);
        Assert.StartsWith("pipe:", targets[0], StringComparison.Ordinal);
        Assert.Equal(["null", "null"], targets[1..]);
        string stat = File.ReadAllText($"/proc/{guard}/stat");
        Assert.Equal(guard.ToString(CultureInfo.InvariantCulture), stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[3]);
    }

    [Fact]
    public async Task GuardIsKilled_WorkersRun_AnotherTakesOverAllOfThem()
    {
        WorkerProcess worker = await _workers.StartedAsync(Stubborn);
        int first = _workers.Guard.ProcessId!.Value;

        NativeProcess.Signal(first, SignalNames.Kill);
        await _workers.Time.WhenArmedAsync(1, TestContext.Current.CancellationToken);
        _workers.Time.Advance(TimeSpan.FromSeconds(1));

        int second = _workers.Guard.ProcessId!.Value;
        Assert.NotEqual(first, second);
        Assert.False(worker.Exited.IsCompleted);
        Assert.Equal((EventIds.WorkerGuardDied, LogLevel.Warning), (_workers.Logs.LatestRecord.Id.Id, _workers.Logs.LatestRecord.Level));
        Assert.Contains("(signal 9 (SIGKILL)). Another takes over the 1 worker(s)", _workers.Logs.LatestRecord.Message, StringComparison.Ordinal);

        await _workers.Guard.DisposeAsync();
        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
    }

    /// <summary>As where the server had no descriptors or no processes left when its guard died: that was the end of the whole server, or of its guard.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task GuardCannotStart_UntilItCan_IsToldOnceAndTriedAgain(bool anotherWorkerStarts)
    {
        string folder = Directory.CreateTempSubdirectory("serve-test-").FullName;
        string shell = Path.Combine(folder, "sh");
        File.CreateSymbolicLink(shell, "/bin/sh");
        await using TestWorkers workers = new(shell: shell);
        WorkerProcess worker = await workers.StartedAsync(Stubborn);
        int first = workers.Guard.ProcessId!.Value;
        File.Delete(shell);

        NativeProcess.Signal(first, SignalNames.Kill);
        await workers.Time.WhenArmedAsync(1, TestContext.Current.CancellationToken);
        workers.Time.Advance(TimeSpan.FromSeconds(60));
        Assert.Null(workers.Guard.ProcessId);
        Assert.Equal([EventIds.WorkerGuardDied, EventIds.WorkerGuardMissing], workers.Logs.GetSnapshot().Select(static r => r.Id.Id));
        Assert.Contains($"{shell}: No such file or directory. Install a shell there", workers.Logs.LatestRecord.Message, StringComparison.Ordinal);

        File.CreateSymbolicLink(shell, "/bin/sh");
        if (anotherWorkerStarts)
        {
            await workers.RunAsync("exit 0");
        }
        else
        {
            workers.Time.Advance(TimeSpan.FromSeconds(8));
        }

        Assert.NotNull(workers.Guard.ProcessId);
        Assert.Equal((EventIds.WorkerGuardRuns, LogLevel.Information), (workers.Logs.LatestRecord.Id.Id, workers.Logs.LatestRecord.Level));
        Assert.False(worker.Exited.IsCompleted);

        await workers.Guard.DisposeAsync();
        Assert.Equal(9, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).Signal);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task DisposeAsync_NoWorkerWasStarted_HasNothingToEnd()
    {
        await _workers.Guard.DisposeAsync();

        Assert.Null(_workers.Guard.ProcessId);
    }

    [Fact]
    public async Task DisposeAsync_Guard_LeavesNoProcess()
    {
        await _workers.RunAsync("exit 0");
        int guard = _workers.Guard.ProcessId!.Value;

        await _workers.Guard.DisposeAsync();

        Assert.False(Directory.Exists($"/proc/{guard}"));
    }

    public ValueTask DisposeAsync() => _workers.DisposeAsync();
}
