using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

public sealed class ServedDeploymentTests
{
    private static readonly DeploymentLimits Limits = new() { MaxOngoingRequests = 4, MaxQueuedRequests = 2 };

    private readonly ManualTimeProvider _clock = new();
    private readonly ServedDeployment _served;

    public ServedDeploymentTests() => _served = new(
        "app",
        new("Slow", static _ => new object(), new DeploymentOptions(), http: null, blocks: false, typeof(int), typeof(string)),
        Limits,
        new(_clock, new SeededRandom(1), static item => item.Execute(), NullLoggerFactory.Instance));

    [Fact]
    public void QueueFull_NamesTheLimitsTheirValuesAndTheDeployment()
    {
        _served.Gate.AddReplica(TestGate.NewReplica("r", _clock), 4);

        _served.Limits = Limits with { RetryAfterS = 3 };

        Refusal refusal = _served.QueueFull(2);

        Assert.Equal(
            "Request dropped due to backpressure (num_queued_requests=2, max_queued_requests=2). Deployment 'Slow' of application 'app' is at its limits: max_queued_requests = 2, max_ongoing_requests = 4 on each of 1 replica(s). Retry after 3 s.",
            refusal.Message);
        Assert.Equal((503, 3), (refusal.StatusCode, refusal.RetryAfterSeconds));
    }

    [Fact]
    public void QueueFull_BackpressureConfig_IsFollowed()
    {
        _served.Limits = Limits with { BackpressureStatusCode = 429, RetryAfterS = 7 };
        Refusal refusal = _served.QueueFull(2);
        Assert.Equal((429, 7), (refusal.StatusCode, refusal.RetryAfterSeconds));
        BackPressureException exception = refusal.ToException();
        Assert.Equal((429, 7, refusal.Message), (exception.StatusCode, exception.RetryAfterSeconds, exception.Message));
    }

    [Fact]
    public void QueueFull_SaidBefore_IsNotMadeAnew()
    {
        _served.Limits = Limits with { RetryAfterS = 3 };
        Assert.Same(_served.QueueFull(2), _served.QueueFull(2));
    }

    [Fact]
    public void QueueFull_AnythingItNamesHasChanged_SaysWhatIsTrueNow()
    {
        _served.Limits = Limits with { RetryAfterS = 3 };
        _served.QueueFull(2);

        Assert.Contains("num_queued_requests=1,", _served.QueueFull(1).Message);

        _served.Gate.AddReplica(TestGate.NewReplica("r", _clock), 4);
        Assert.Contains("on each of 1 replica(s)", _served.QueueFull(1).Message);

        _served.Limits = Limits with { RetryAfterS = 3, MaxOngoingRequests = 9, BackpressureStatusCode = 429 };
        Refusal refusal = _served.QueueFull(1);
        Assert.Contains("max_ongoing_requests = 9", refusal.Message);
        Assert.Equal(429, refusal.StatusCode);

        // As far from the last one as there are places to keep one.
        _served.Limits = _served.Limits with { RetryAfterS = 3 + 16 };
        refusal = _served.QueueFull(1);
        Assert.Contains("Retry after 19 s.", refusal.Message);
        Assert.Equal(19, refusal.RetryAfterSeconds);
    }

    [Fact]
    public void WaitedTooLong_NamesTheTimeAndTheKey()
    {
        _served.Limits = Limits with { RetryAfterS = 2 };
        Assert.Equal(
            "Request dropped due to backpressure (num_queued_requests=0, max_queued_requests=2). It waited 1.5 s, the max_queue_wait_s of deployment 'Slow' of application 'app'. Retry after 2 s.",
            _served.WaitedTooLong(TimeSpan.FromSeconds(1.5)).Message);
    }

    [Fact]
    public void Limits_Set_ReachesEveryHandle()
    {
        Handle before = _served.OpenHandle();
        _served.Limits = Limits with { MaxQueuedRequests = 9 };
        Handle after = _served.OpenHandle();
        Assert.Equal((9, 9), (before.MaxQueued, after.MaxQueued));
    }

    /// <summary>Handles are opened while the limit changes: the last limit holds in all of them.</summary>
    [Fact]
    public async Task OpenHandle_LimitsChangeMeanwhile_KeepsNoOldLimit()
    {
        for (int round = 0; round < 300; round++)
        {
            Task<Handle[]> opening = Task.Run(
                () => Enumerable.Range(0, 20).Select(_ => _served.OpenHandle()).ToArray(), TestContext.Current.CancellationToken);
            for (int i = 0; i < 20; i++)
            {
                _served.Limits = Limits with { MaxQueuedRequests = (round * 20) + i };
            }

            Handle[] handles = await opening;
            Assert.All(handles, h => Assert.Equal(_served.Limits.MaxQueuedRequests, h.MaxQueued));
            Array.ForEach(handles, _served.Gate.RemoveHandle);
        }
    }

    [Fact]
    public void Create_UnknownDeploymentOrOtherTypes_SaysWhatThereIs()
    {
        using ReplicaHandles handles = new("app", new Dictionary<string, ServedDeployment> { ["Slow"] = _served });

        ArgumentException unknown = Assert.Throws<ArgumentException>(() => handles.Create<int, string>("Slw"));
        ArgumentException other = Assert.Throws<ArgumentException>(() => handles.Create<string, string>("Slow"));

        Assert.StartsWith("Application 'app' has no deployment 'Slw'. It has: Slow.", unknown.Message, StringComparison.Ordinal);
        Assert.StartsWith("Deployment 'Slow' of application 'app' takes Int32 and answers String, not String and String.", other.Message, StringComparison.Ordinal);
        Assert.Empty(_served.Gate.Handles);
    }

    [Fact]
    public void Dispose_OfReplicaHandles_ClosesWhatWasOpened()
    {
        ReplicaHandles handles = new("app", new Dictionary<string, ServedDeployment> { ["Slow"] = _served });
        handles.Create<int, string>("Slow");
        handles.Create<int, string>("Slow");
        Assert.Equal(2, _served.Gate.Handles.Length);
        handles.Dispose();
        Assert.Empty(_served.Gate.Handles);
    }

    [Fact]
    public void Dispose_Anytime_NothingTicksAnyMore()
    {
        _served.Gate.Admit(_served.OpenHandle());
        Assert.Equal(1, _clock.ArmedTimers);
        _served.Dispose();
        Assert.Equal(0, _clock.ArmedTimers);
    }
}
