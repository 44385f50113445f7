using Microsoft.Extensions.Logging;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>What real workers write.</summary>
public sealed class WorkerOutputTests : IAsyncDisposable
{
    private readonly TestWorkers _workers = new();

    [Fact]
    public async Task Drain_Flood_NeverBlocksTheWorkerAndTellsWhatWasLeftOut()
    {
        // Ten times what a pipe holds; the clock stands still, so that all of it is within one second.
        WorkerExit exit = await _workers.RunAsync("i=0; while [ $i -lt 20000 ]; do echo a line that is thirty bytes....; i=$((i+1)); done");

        Assert.Equal(0, exit.ExitCode);
        Assert.Equal(WorkerOutput.MostLinesPerSecond, _workers.Lines.Count(static l => !l.IsNotice));
        Assert.Equal("19000 more lines of this worker were left out: at most 1000 are taken in a second", Assert.Single(_workers.Lines, static l => l.IsNotice).Text);
    }

    [Fact]
    public async Task ErrorTail_FloodBeforeDeath_HoldsTheLastWordsAllTheSame()
    {
        WorkerProcess worker = _workers.Start("i=0; while [ $i -lt 2000 ]; do echo noise >&2; i=$((i+1)); done; echo the reason >&2; exit 1");
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(ReplicaLog.MostLines, worker.ErrorTail.Count);
        Assert.Equal("the reason", worker.ErrorTail[^1]);
        string[] told = [.. _workers.Texts];
        Assert.Equal(WorkerOutput.MostLinesPerSecond + 2 + ReplicaLog.MostLines, told.Length);
        Assert.StartsWith("1001 more lines", told[WorkerOutput.MostLinesPerSecond], StringComparison.Ordinal);
        Assert.Equal("The last 20 of these lines, from its stderr:", told[WorkerOutput.MostLinesPerSecond + 1]);
        Assert.Equal("the reason", told[^1]);
    }

    [Fact]
    public async Task ErrorTail_FloodOnTheOtherStream_IsToldOnceOnly()
    {
        WorkerProcess worker = _workers.Start("echo the reason >&2; i=0; while [ $i -lt 2000 ]; do echo noise; i=$((i+1)); done");
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(["the reason"], worker.ErrorTail);
        Assert.Single(_workers.Lines, static l => l.IsError && !l.IsNotice);
    }

    [Fact]
    public async Task Drain_LineWithAPriority_HasItsLevelAndNotThePrefix()
    {
        WorkerProcess worker = _workers.Start("echo '<3>bad' >&2; echo '<4>careful' >&2; echo '<6>well' >&2; echo '<7>detail' >&2; echo '<8>none' >&2; echo plain >&2");
        await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(
            [("bad", LogLevel.Error), ("careful", LogLevel.Warning), ("well", LogLevel.Information), ("detail", LogLevel.Debug), ("<8>none", LogLevel.Information), ("plain", LogLevel.Information)],
            _workers.Lines.Select(static l => (l.Text, l.Level)));
        Assert.Equal(["bad", "careful", "well", "detail", "<8>none", "plain"], worker.ErrorTail);
    }

    [Fact]
    public async Task Drain_WhoTakesTheLinesThrows_TheWorkerWritesOnAndItsEndIsTold()
    {
        WorkerProcess worker = _workers.Start("i=0; while [ $i -lt 5000 ]; do echo a line that is thirty bytes....; i=$((i+1)); done; exit 6", static _ => throw new InvalidOperationException("the log is full"));

        WorkerExit exit = await worker.Exited.WaitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(6, exit.ExitCode);
        Assert.Equal(WorkerOutput.MostLinesPerSecond, _workers.Lines.Count(static l => !l.IsNotice));
    }

    [Fact]
    public async Task Drain_BytesThatAreNoText_AreReplaced()
    {
        await _workers.RunAsync("printf 'a\\377b\\033[31m\\n'");

        Assert.Equal(["a\uFFFDb\uFFFD[31m"], _workers.Texts);
    }

    [Fact]
    public async Task Drain_EndlessLine_IsCutAndNeitherKeptNorWaitedFor()
    {
        await _workers.RunAsync("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next");

        Assert.Equal([new string('x', LineSplitter.LongestLine) + LineSplitter.CutMark, "next"], _workers.Texts);
    }

    [Fact]
    public async Task Exited_PipeIsHeldByOneWhoEscaped_CompletesAfterASecond()
    {
        // A session of its own and an empty environment: neither its group nor its mark finds it.
        WorkerProcess worker = await _workers.StartedAsync("trap 'exit 4' USR1; setsid env -i sh -c 'echo $$; exec sleep 1000' & wait");
        worker.SignalGroup(10);
        await _workers.Time.WhenArmedAsync(1, TestContext.Current.CancellationToken);
        Assert.False(worker.Exited.IsCompleted);

        _workers.Time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal(4, (await worker.Exited.WaitAsync(TestContext.Current.CancellationToken)).ExitCode);
        NativeProcess.Signal(int.Parse(_workers.Texts.First(), System.Globalization.CultureInfo.InvariantCulture), 9);
    }

    public ValueTask DisposeAsync() => _workers.DisposeAsync();
}
