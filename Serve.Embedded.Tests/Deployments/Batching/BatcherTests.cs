using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Deployments;

public sealed class BatcherTests
{
    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    /// <summary>Size 10, wait 0.01 s, nine callers.</summary>
    [Fact]
    [ContractRow(41)]
    public async Task HandleAsync_NineOfTen_WaitForTheTimeout()
    {
        using TestBatcher batcher = new();
        Task<string>[] callers = batcher.Call(Enumerable.Range(0, 9));
        batcher.Pass(9);
        Assert.Empty(batcher.Batches);

        batcher.Pass(1);

        Assert.Equal(Enumerable.Range(0, 9), Assert.Single(batcher.Batches).Requests);
        batcher.Batches[0].End();
        Assert.Equal(Enumerable.Range(0, 9).Select(i => $"<{i}>"), await Task.WhenAll(callers).WaitAsync(TestEnds));
    }

    /// <summary>The same, with the tenth caller.</summary>
    [Fact]
    [ContractRow(41)]
    public async Task HandleAsync_TheTenthOfTen_WaitsForNothing()
    {
        using TestBatcher batcher = new();
        Task<string>[] nine = batcher.Call(Enumerable.Range(0, 9));
        Assert.Empty(batcher.Batches);

        Task<string> tenth = batcher.Call(9);

        Assert.Equal(Enumerable.Range(0, 10), Assert.Single(batcher.Batches).Requests);
        Assert.Equal(0, batcher.Clock.ArmedTimers);
        batcher.Batches[0].End();
        Assert.Equal("<9>", await tenth.WaitAsync(TestEnds));
        await Task.WhenAll(nine).WaitAsync(TestEnds);
    }

    [Fact]
    public async Task HandleAsync_SizeOne_RunsAtOnce()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 1, BatchWaitTimeout = TimeSpan.FromHours(1) });
        Task<string> caller = batcher.Call(7);
        Assert.Equal([7], Assert.Single(batcher.Batches).Requests);
        batcher.Batches[0].End();
        Assert.Equal("<7>", await caller.WaitAsync(TestEnds));
    }

    [Fact]
    public void HandleAsync_WaitOfZero_TakesWhoIsThere()
    {
        using TestBatcher batcher = new(new() { BatchWaitTimeout = TimeSpan.Zero });
        batcher.Call(0);
        Assert.Equal([[0]], batcher.Requests);
        batcher.Call([1, 2, 3]);
        Assert.Single(batcher.Batches);

        batcher.Batches[0].End();

        Assert.Equal([[0], [1, 2, 3]], batcher.Requests);
    }

    [Fact]
    public void HandleAsync_WhileABatchRuns_TheNextGathersAndFillsUp()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 3 });
        batcher.Call([0, 1, 2]);
        batcher.Call([3, 4]);
        batcher.Pass(50);
        batcher.Call([5, 6]);
        Assert.Single(batcher.Batches);

        batcher.Batches[0].End();
        Assert.Equal([[0, 1, 2], [3, 4, 5]], batcher.Requests);

        // The wait counts from its own arrival, and the batch that ran has used it up.
        batcher.Pass(10);
        batcher.Batches[1].End();
        Assert.Equal([[0, 1, 2], [3, 4, 5], [6]], batcher.Requests);
    }

    [Fact]
    public void HandleAsync_ConcurrentBatches_AreAsManyAsMayBe()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 2, MaxConcurrentBatches = 2 });
        batcher.Call(Enumerable.Range(0, 7));
        Assert.Equal([[0, 1], [2, 3]], batcher.Requests);

        batcher.Batches[1].End();
        Assert.Equal([[0, 1], [2, 3], [4, 5]], batcher.Requests);
        batcher.Batches[0].End();
        Assert.Equal(3, batcher.Batches.Count);
        batcher.Pass(10);
        Assert.Equal([6], batcher.Batches[3].Requests);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(null)]
    [ContractRow(42)]
    public async Task HandleAsync_WrongNumberOfAnswers_FailsEveryCallerOfTheBatchOnly(int? answers)
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 2 });
        batcher.AtOnce = _ => answers is null ? null! : [.. Enumerable.Repeat("x", answers.Value)];
        foreach (Task<string> caller in batcher.Call([1, 2]))
        {
            InvalidOperationException wrong = await Assert.ThrowsAsync<InvalidOperationException>(() => caller.WaitAsync(TestEnds));
            Assert.StartsWith("Batched function doesn't preserve batch size. The handler of deployment 'D' was given 2 request(s)", wrong.Message, StringComparison.Ordinal);
        }

        batcher.AtOnce = batch => [.. batch.Select(r => $"<{r}>")];
        Assert.Equal(["<3>", "<4>"], await Task.WhenAll(batcher.Call([3, 4])).WaitAsync(TestEnds));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [ContractRow(42)]
    public async Task HandleAsync_HandlerThrows_EveryCallerOfTheBatchOnly(bool atOnce)
    {
        InvalidDataException error = new("bad");
        using TestBatcher batcher = new(new() { MaxBatchSize = 2 });
        batcher.AtOnce = atOnce ? _ => throw error : null;
        Task<string>[] callers = batcher.Call([1, 2]);
        if (!atOnce)
        {
            batcher.Batches[0].Answers.SetException(error);
        }

        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(() => callers[0].WaitAsync(TestEnds)));
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(() => callers[1].WaitAsync(TestEnds)));

        batcher.AtOnce = batch => [.. batch.Select(r => $"<{r}>")];
        Assert.Equal(["<3>", "<4>"], await Task.WhenAll(batcher.Call([3, 4])).WaitAsync(TestEnds));
    }

    [Fact]
    [ContractRow(42)]
    public async Task HandleAsync_CancelledWhileItWaits_IsInNoBatch()
    {
        using TestBatcher batcher = new();
        using CancellationTokenSource leaves = new();
        Task<string> first = batcher.CallUntil(0, leaves.Token);
        batcher.Pass(6);
        Task<string> second = batcher.Call(1);

        await leaves.CancelAsync();

        OperationCanceledException left = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(TestEnds));
        Assert.Equal(leaves.Token, left.CancellationToken);
        Assert.Equal(1, batcher.Batcher.Waiting);

        // The clock is now that of who is first.
        batcher.Pass(9);
        Assert.Empty(batcher.Batches);
        batcher.Pass(1);
        Assert.Equal([[1]], batcher.Requests);
        batcher.Batches[0].End();
        Assert.Equal("<1>", await second.WaitAsync(TestEnds));
    }

    [Fact]
    public async Task HandleAsync_AllWhoWaitLeave_NothingRunsAndNoTimerIsLeft()
    {
        using TestBatcher batcher = new();
        using CancellationTokenSource leaves = new();
        Task<string>[] callers = [batcher.CallUntil(0, leaves.Token), batcher.CallUntil(1, leaves.Token)];

        await leaves.CancelAsync();

        Assert.Equal((0, 0), (batcher.Batcher.Waiting, batcher.Clock.ArmedTimers));
        foreach (Task<string> caller in callers)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => caller.WaitAsync(TestEnds));
        }
    }

    [Fact]
    public async Task HandleAsync_TokenIsCancelledAlready_IsNoArrival()
    {
        using TestBatcher batcher = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => batcher.CallUntil(1, new(true)));
        Assert.Equal((0, 0), (batcher.Batcher.Waiting, batcher.Clock.ArmedTimers));
    }

    [Fact]
    public async Task HandleAsync_OneLeavesARunningBatch_ItRunsOn()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 2 });
        using CancellationTokenSource leaves = new();
        Task<string> left = batcher.CallUntil(0, leaves.Token);
        Task<string> stays = batcher.Call(1);

        await leaves.CancelAsync();

        Assert.False(batcher.Batches[0].Cancelled.IsCancellationRequested);
        Assert.False(left.IsCompleted);
        batcher.Batches[0].End();
        Assert.Equal(["<0>", "<1>"], await Task.WhenAll(left, stays).WaitAsync(TestEnds));
    }

    [Fact]
    public async Task HandleAsync_AllLeaveARunningBatch_ItIsCancelled()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 2 });
        using CancellationTokenSource first = new();
        using CancellationTokenSource second = new();
        Task<string>[] callers = [batcher.CallUntil(0, first.Token), batcher.CallUntil(1, second.Token)];
        TaskCompletionSource told = new();
        using CancellationTokenRegistration tells = batcher.Batches[0].Cancelled.Register(told.SetResult);

        await first.CancelAsync();
        Assert.False(told.Task.IsCompleted);
        await second.CancelAsync();

        await told.Task.WaitAsync(TestEnds);
        batcher.Batches[0].Answers.SetCanceled(TestEnds);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Task.WhenAll(callers).WaitAsync(TestEnds));
    }

    [Fact]
    public async Task Stopping_ARunningBatch_IsCancelled()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 1 });
        Task<string> caller = batcher.Call(0);
        TaskCompletionSource told = new();
        using CancellationTokenRegistration tells = batcher.Batches[0].Cancelled.Register(told.SetResult);

        await batcher.StopAsync();

        await told.Task.WaitAsync(TestEnds);
        batcher.Batches[0].End();
        await caller.WaitAsync(TestEnds);
    }

    [Fact]
    public async Task NobodyComes_WhoWaitsWaitsNoLonger()
    {
        using TestBatcher batcher = new(new() { BatchWaitTimeout = TimeSpan.FromHours(1) });
        Task<string>[] callers = batcher.Call([1, 2]);

        batcher.Batcher.NobodyComes();

        Assert.Equal([[1, 2]], batcher.Requests);
        batcher.Batches[0].End();
        await Task.WhenAll(callers).WaitAsync(TestEnds);
    }

    [Fact]
    public async Task Size_OfOneRequestAboveTheMost_FailsItsCallerAlone()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 10, Size = static r => r });
        Task<string> fits = batcher.Call(4);

        ArgumentException tooLarge = await Assert.ThrowsAsync<ArgumentException>(() => batcher.Call(11));

        Assert.Contains("A request of size 11 can be in no batch of deployment 'D': its MaxBatchSize is 10.", tooLarge.Message, StringComparison.Ordinal);
        batcher.Pass(10);
        Assert.Equal([[4]], batcher.Requests);
        batcher.Batches[0].End();
        await fits.WaitAsync(TestEnds);
        await Assert.ThrowsAsync<ArgumentException>(() => batcher.Call(-1));
    }

    /// <summary>Ray Serve puts the one that would overflow behind all others; here the order stays.</summary>
    [Fact]
    public void Size_OfTheNextWouldOverflow_ClosesTheBatchAndKeepsTheOrder()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 10, Size = static r => r, MaxConcurrentBatches = 3 });
        batcher.Call([4, 3]);
        Assert.Empty(batcher.Batches);

        batcher.Call([5, 1, 2]);

        Assert.Equal([[4, 3]], batcher.Requests);
        batcher.Call(3);
        Assert.Equal([[4, 3], [5, 1, 2]], batcher.Requests);
        batcher.Pass(10);
        Assert.Equal([3], batcher.Batches[2].Requests);
    }

    [Fact]
    public void MaxBatchSize_IsLowered_WhoWaitsGoesAtOnceAndInOrder()
    {
        using TestBatcher batcher = new(new() { MaxConcurrentBatches = 5 });
        batcher.Call(Enumerable.Range(0, 5));

        batcher.Control.MaxBatchSize = 2;

        Assert.Equal([[0, 1], [2, 3]], batcher.Requests);
        Assert.Equal(1, batcher.Batcher.Waiting);
    }

    /// <summary>It was let in by the size that was in force when it came.</summary>
    [Fact]
    public void MaxBatchSize_IsLoweredBelowWhoWaits_ItRunsAlone()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 10, Size = static r => r, MaxConcurrentBatches = 5 });
        batcher.Call([9]);

        batcher.Control.MaxBatchSize = 4;

        Assert.Equal([[9]], batcher.Requests);
    }

    [Fact]
    public void BatchWaitTimeout_IsChanged_HoldsForWhoWaits()
    {
        using TestBatcher batcher = new(new() { BatchWaitTimeout = TimeSpan.FromHours(1), MaxConcurrentBatches = 5 });
        batcher.Call(1);
        batcher.Pass(20);

        batcher.Control.BatchWaitTimeout = TimeSpan.FromMilliseconds(30);
        Assert.Empty(batcher.Batches);
        batcher.Pass(10);
        Assert.Equal([[1]], batcher.Requests);

        batcher.Call(2);
        batcher.Control.BatchWaitTimeout = TimeSpan.Zero;
        Assert.Equal([[1], [2]], batcher.Requests);
    }

    [Fact]
    [ContractRow(41)]
    public void Control_ValuesThatCannotBe_AreRefused()
    {
        using TestBatcher batcher = new();
        Assert.Throws<ArgumentOutOfRangeException>(() => batcher.Control.MaxBatchSize = 0);
        Assert.Throws<ArgumentOutOfRangeException>(() => batcher.Control.BatchWaitTimeout = TimeSpan.FromTicks(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => batcher.Control.BatchWaitTimeout = TimeSpan.FromDays(2));
        Assert.Equal((10, TimeSpan.FromMilliseconds(10), 1), (batcher.Control.MaxBatchSize, batcher.Control.BatchWaitTimeout, batcher.Control.MaxConcurrentBatches));
    }

    [Fact]
    public void Handler_RunsInNoCallersContext()
    {
        AsyncLocal<string?> ambient = new();
        string? seen = "nothing";
        using TestBatcher batcher = new(new() { MaxBatchSize = 1 });
        batcher.AtOnce = batch =>
        {
            seen = ambient.Value;
            return [.. batch.Select(_ => "")];
        };
        ambient.Value = "a caller";

        batcher.Call(1);

        Assert.Null(seen);
    }

    /// <summary>Ray Serve: all requests of a batch name the same model, and the handler reads which.</summary>
    [Fact]
    [ContractRow(43)]
    public async Task Models_SeveralWait_ABatchHoldsOneAndTheHandlerReadsWhich()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 3, MaxConcurrentBatches = 3 });
        string?[] models = ["a", "b", null];
        Task<string>[] callers = [.. Enumerable.Range(0, 8).Select(i => batcher.CallFor(models[i % 3], i))];

        // Two of the three are full.
        Assert.Equal(["a: 0 3 6", "b: 1 4 7"], batcher.Batches.Select(b => $"{b.ModelId}: {string.Join(' ', b.Requests)}"));
        batcher.Pass(10);

        Assert.Equal((null, "2 5"), (batcher.Batches[2].ModelId, string.Join(' ', batcher.Batches[2].Requests)));
        foreach (RunningBatch batch in batcher.Batches)
        {
            batch.End();
        }

        Assert.Equal(Enumerable.Range(0, 8).Select(i => $"<{i}>"), await Task.WhenAll(callers).WaitAsync(TestEnds));
        Assert.Null(CurrentRequest.ModelId);
        Assert.Equal(0, batcher.Clock.ArmedTimers);
    }

    [Fact]
    public void Models_SeveralAreDue_WhoWaitedLongestGoesFirst()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 2 });
        batcher.Call([0, 1]);
        batcher.CallFor("a", 2);
        batcher.Pass(1);
        batcher.CallFor("b", 3);
        batcher.CallFor("b", 4);
        batcher.CallFor("a", 5);
        batcher.CallFor("a", 6);
        Assert.Single(batcher.Batches);

        for (int i = 0; i < 3; i++)
        {
            batcher.Batches[i].End();
        }

        Assert.Equal([[0, 1], [2, 5], [3, 4]], batcher.Requests.Take(3));
        batcher.Pass(10);
        Assert.Equal([6], batcher.Batches[3].Requests);
    }

    /// <summary>The wait is that of who came first, and a model whose last caller has left holds up nobody's.</summary>
    [Fact]
    public async Task Models_EachWaitsForItself_AndWhoLeavesIsForgotten()
    {
        using TestBatcher batcher = new(new() { MaxConcurrentBatches = 2 });
        using CancellationTokenSource leaves = new();
        Task<string> left = batcher.CallForUntil("gone", 0, leaves.Token);
        batcher.Pass(4);
        _ = batcher.CallFor("a", 1);
        batcher.Pass(4);
        _ = batcher.CallFor("b", 2);
        await leaves.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left.WaitAsync(TestEnds));
        Assert.Equal(2, batcher.Batcher.Waiting);

        batcher.Pass(5);
        Assert.Empty(batcher.Batches);
        batcher.Pass(1);
        Assert.Equal([[1]], batcher.Requests);
        batcher.Pass(3);
        Assert.Single(batcher.Batches);
        batcher.Pass(1);
        Assert.Equal([[1], [2]], batcher.Requests);
    }

    [Theory]
    [InlineData(19, 1)]
    [InlineData(20, 0)]
    public void Start_BatchesCannotFill_IsSaidInTheLog(int maxOngoing, int lines)
    {
        FakeLogCollector logs = new();
        using LoggerFactory loggers = new([new FakeLoggerProvider(logs)]);
        using TestBatcher batcher = new(new() { MaxConcurrentBatches = 2 }, maxOngoing, loggers.CreateLogger("test"));
        Assert.Equal(lines, logs.GetSnapshot().Count(r => r.Id.Id == EventIds.BatchesNeverFill && r.Message.Contains("max_ongoing_requests = 19", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task HandleAsync_OneAfterTheOther_UsesTheSameItem()
    {
        using TestBatcher batcher = new(new() { MaxBatchSize = 1 });
        batcher.AtOnce = static batch => [$"<{batch[0]}>"];
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal($"<{i}>", await batcher.Call(i));
        }

        Assert.Equal(1, batcher.Batcher.Spare);
    }
}
