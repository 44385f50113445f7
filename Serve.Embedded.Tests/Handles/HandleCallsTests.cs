using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

public sealed class HandleCallsTests
{
    private readonly ManualTimeProvider _clock = new();
    private readonly ServeEnvironment _environment;
    private readonly Handler _handler = new();
    private readonly DeploymentDefinition _definition;

    public HandleCallsTests()
    {
        _environment = new(_clock, new SeededRandom(3), ServeEnvironment.ResumeOnThreadPool, NullLoggerFactory.Instance);
        _definition = new("D", _ => _handler, new DeploymentOptions(), http: null, blocks: false, typeof(string), typeof(string));
    }

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task CallAsync_CompletesAtOnce_AnswersAndGivesThePermitBack()
    {
        ServedDeployment served = await ServeAsync(1, 0);
        Handle handle = served.OpenHandle();
        ValueTask<string> answer = Calls(served, handle).CallAsync("a", TestEnds);
        Assert.True(answer.IsCompletedSuccessfully);
        Assert.Equal("a!", await answer);
        Assert.Equal(1, handle.Counts.Completed);
        Assert.Equal(1, served.Gate.Free);
    }

    [Fact]
    public async Task CallAsync_Uncontended_AllocatesNothing()
    {
        ServedDeployment served = await ServeAsync(2, 10, replicas: 3);
        HandleCalls<string, string> calls = Calls(served, served.OpenHandle());
        _handler.Answer = static (_, _) => new("same");

        Assert.Equal(0, Allocations.Of(() => Call(10_000)));

        void Call(int times)
        {
            for (int i = 0; i < times; i++)
            {
                ValueTask<string> answer = calls.CallAsync("a", CancellationToken.None);
                if (!answer.IsCompletedSuccessfully || answer.Result != "same")
                {
                    Assert.Fail("The call did not complete at once.");
                }
            }
        }
    }

    [Fact]
    public async Task CallAsync_TokenIsCancelledAlready_IsNoArrival()
    {
        ServedDeployment served = await ServeAsync(1, 0);
        Handle handle = served.OpenHandle();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await Calls(served, handle).CallAsync("a", new(true)));
        Assert.Equal(0, handle.Counts.Arrived);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task CallAsync_HandlerThrows_CountsAsFailedAndGivesThePermitBack(bool atOnce)
    {
        ServedDeployment served = await ServeAsync(1, 0);
        Handle handle = served.OpenHandle();
        InvalidDataException error = new("bad");
        _handler.Answer = (_, _) => atOnce ? throw error : new(Task.FromException<string>(error));
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(async () => await Calls(served, handle).CallAsync("a", TestEnds)));
        Assert.Equal((1L, 0L), (handle.Counts.Failed, handle.Counts.Completed));
        Assert.Equal(1, served.Gate.Free);
    }

    [Fact]
    public async Task CallAsync_QueueIsFull_SaysWhichLimitAndWhenToComeBack()
    {
        ServedDeployment served = await ServeAsync(1, 1);
        HandleCalls<string, string> calls = Calls(served, served.OpenHandle());
        TaskCompletionSource<string> ends = new();
        _handler.Answer = (_, _) => new(ends.Task);
        Task<string> runs = calls.CallAsync("runs", TestEnds).AsTask();
        Task<string> waits = calls.CallAsync("waits", TestEnds).AsTask();

        BackPressureException refused = await Assert.ThrowsAsync<BackPressureException>(async () => await calls.CallAsync("late", TestEnds));

        Assert.StartsWith("Request dropped due to backpressure (num_queued_requests=1, max_queued_requests=1).", refused.Message, StringComparison.Ordinal);
        Assert.Equal(503, refused.StatusCode);
        Assert.InRange(refused.RetryAfterSeconds, 1, 2);
        ends.SetResult("done");
        Assert.Equal(["done", "done"], await Task.WhenAll(runs, waits).WaitAsync(TestEnds));
        Assert.Equal(["runs", "waits"], _handler.Seen);
    }

    [Fact]
    public async Task CallAsync_CancelledWhileItWaits_NeverReachesTheHandler()
    {
        ServedDeployment served = await ServeAsync(1, 5);
        Handle handle = served.OpenHandle();
        HandleCalls<string, string> calls = Calls(served, handle);
        TaskCompletionSource<string> ends = new();
        _handler.Answer = (_, _) => new(ends.Task);
        Task<string> runs = calls.CallAsync("runs", TestEnds).AsTask();
        using CancellationTokenSource leaves = new();
        Task<string> left = calls.CallAsync("leaves", leaves.Token).AsTask();
        Task<string> stays = calls.CallAsync("stays", TestEnds).AsTask();

        await leaves.CancelAsync();

        OperationCanceledException thrown = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left.WaitAsync(TestEnds));
        Assert.Equal(leaves.Token, thrown.CancellationToken);
        Assert.Equal(1, handle.Queued);
        ends.SetResult("done");
        await Task.WhenAll(runs, stays).WaitAsync(TestEnds);
        Assert.Equal(["runs", "stays"], _handler.Seen);
        Assert.Equal((3L, 2L, 1L), (handle.Counts.Arrived, handle.Counts.Completed, handle.Counts.Cancelled));
    }

    [Fact]
    public async Task CallAsync_CancelledWhileItRuns_KeepsItsPermitUntilTheHandlerEnds()
    {
        ServedDeployment served = await ServeAsync(1, 5);
        Handle handle = served.OpenHandle();
        TaskCompletionSource<string> ends = new();
        _handler.Answer = (_, _) => new(ends.Task);
        using CancellationTokenSource leaves = new();
        Task<string> runs = Calls(served, handle).CallAsync("runs", leaves.Token).AsTask();

        await leaves.CancelAsync();
        Assert.Equal(0, served.Gate.Free);

        ends.SetCanceled(leaves.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => runs.WaitAsync(TestEnds));
        Assert.Equal(1, served.Gate.Free);
        Assert.Equal(1, handle.Counts.Cancelled);
    }

    /// <summary>A handler that gives up by itself has failed: its caller did not leave.</summary>
    [Fact]
    public async Task CallAsync_HandlerCancelsItself_CountsAsFailed()
    {
        ServedDeployment served = await ServeAsync(1, 5);
        Handle handle = served.OpenHandle();
        _handler.Answer = static (_, _) => throw new OperationCanceledException();
        await Assert.ThrowsAsync<OperationCanceledException>(async () => await Calls(served, handle).CallAsync("a", TestEnds));
        Assert.Equal((1L, 0L), (handle.Counts.Failed, handle.Counts.Cancelled));
    }

    [Fact]
    public async Task CallAsync_WaitsLongerThanItMay_IsRefusedWithTheReason()
    {
        ServedDeployment served = await ServeAsync(1, 5, maxQueueWait: TimeSpan.FromSeconds(3));
        Handle handle = served.OpenHandle();
        HandleCalls<string, string> calls = Calls(served, handle);
        TaskCompletionSource<string> ends = new();
        _handler.Answer = (_, _) => new(ends.Task);
        Task<string> runs = calls.CallAsync("runs", TestEnds).AsTask();
        Task<string> waits = calls.CallAsync("waits", TestEnds).AsTask();
        _clock.Advance(TimeSpan.FromSeconds(2.9));
        Assert.False(waits.IsCompleted);

        _clock.Advance(TimeSpan.FromSeconds(0.1));

        BackPressureException refused = await Assert.ThrowsAsync<BackPressureException>(() => waits.WaitAsync(TestEnds));
        Assert.Contains("It waited 3 s, the max_queue_wait_s of deployment 'D' of application 'app'.", refused.Message, StringComparison.Ordinal);
        Assert.Equal(1, handle.Counts.Shed);
        ends.SetResult("done");
        await runs;
        Assert.Equal(["runs"], _handler.Seen);
    }

    [Fact]
    public async Task CallAsync_DeploymentGoesAway_WhoWaitsAndWhoComesAreTold()
    {
        ServedDeployment served = await ServeAsync(0, 5);
        HandleCalls<string, string> calls = Calls(served, served.OpenHandle());
        Task<string> waits = calls.CallAsync("waits", TestEnds).AsTask();

        served.Gate.SetUnavailable(true);

        DeploymentUnavailableException ended = await Assert.ThrowsAsync<DeploymentUnavailableException>(() => waits.WaitAsync(TestEnds));
        Assert.Equal(served.UnavailableMessage(), ended.Message);
        await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await calls.CallAsync("late", TestEnds));
        Assert.Empty(_handler.Seen);
    }

    [Fact]
    public async Task CallAsync_ThroughAClosedHandle_SaysSo()
    {
        ServedDeployment served = await ServeAsync(1, 5);
        Handle handle = served.OpenHandle();
        served.Gate.RemoveHandle(handle);

        DeploymentUnavailableException refused = await Assert.ThrowsAsync<DeploymentUnavailableException>(
            async () => await Calls(served, handle).CallAsync("a", TestEnds));

        Assert.Equal(served.ClosedMessage(), refused.Message);
    }

    private async Task<ServedDeployment> ServeAsync(int limit, int maxQueued, int replicas = 1, TimeSpan? maxQueueWait = null)
    {
        ServedDeployment served = new(
            "app",
            _definition,
            new() { MaxOngoingRequests = limit, MaxQueuedRequests = maxQueued, MaxQueueWait = maxQueueWait },
            _environment);
        for (int i = 0; i < replicas; i++)
        {
            Replica replica = new($"r{i}", _definition, _clock);
            await replica.StartAsync(
                new("app", "D", replica.Id, static () => 0, null, _clock, NullLogger.Instance, new ReplicaHandles("app", new Dictionary<string, ServedDeployment>())), null);
            served.Gate.AddReplica(replica, limit);
        }

        return served;
    }

    private static HandleCalls<string, string> Calls(ServedDeployment served, Handle handle) => new(served, handle);

    private sealed class Handler : IDeployment<string, string>
    {
        private readonly List<string> _seen = [];

        public Func<string, CancellationToken, ValueTask<string>> Answer { get; set; } = static (request, _) => new(request + "!");

        public string[] Seen
        {
            get
            {
                lock (_seen)
                {
                    return [.. _seen];
                }
            }
        }

        public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken)
        {
            if (request != "a")
            {
                lock (_seen)
                {
                    _seen.Add(request);
                }
            }

            return Answer(request, cancellationToken);
        }
    }
}
