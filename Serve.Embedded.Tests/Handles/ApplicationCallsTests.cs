using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

/// <summary>Calls of a host's code, which must reach the deployment that is served now.</summary>
public sealed class ApplicationCallsTests
{
    private readonly ManualTimeProvider _clock = new();
    private readonly ServeEnvironment _environment;
    private readonly ServingState _serving = new();
    private readonly ApplicationCalls<string, string> _calls;

    public ApplicationCallsTests()
    {
        _environment = new(_clock, new SeededRandom(3), ServeEnvironment.ResumeOnThreadPool, NullLoggerFactory.Instance);
        _calls = new(_serving, "app", "D");
    }

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task CallAsync_AnotherRevisionTakesOver_GoesThere()
    {
        ServedDeployment one = await ServeAsync((request, _) => new($"one {request}"));
        ServedDeployment two = await ServeAsync((request, _) => new($"two {request}"));

        Publish(one);
        string first = await _calls.CallAsync("a", TestEnds);
        Publish(two);
        string second = await _calls.CallAsync("b", TestEnds);
        _serving.Publish(ServingSnapshot.Empty);

        Assert.Equal(("one a", "two b"), (first, second));
        DeploymentUnavailableException none = await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await _calls.CallAsync("c", TestEnds));
        Assert.Contains("'D' of application 'app' is not served", none.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task CallAsync_WithOptions_AnotherRevisionTakesOver_GoesThereWithThem()
    {
        CallOptions options = new() { ModelId = "m", Timeout = TimeSpan.FromSeconds(1) };
        Publish(await ServeAsync((_, _) => new($"one {CurrentRequest.ModelId}")));
        string first = await _calls.CallAsync("a", options, TestEnds);
        Publish(await ServeAsync((_, _) => new($"two {CurrentRequest.ModelId}")));
        string second = await _calls.CallAsync("b", options, TestEnds);
        _serving.Publish(ServingSnapshot.Empty);

        Assert.Equal(("one m", "two m"), (first, second));
        await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await _calls.CallAsync("c", options, TestEnds));
    }

    [Fact]
    public async Task HoldAsync_AnotherRevisionTakesOver_KeepsThePermitOfTheOneThatHasIt()
    {
        ServedDeployment one = await ServeAsync((_, _) => new("one"));
        Publish(one);
        IHeldCall<string> held = await _calls.HoldAsync("a", default, TestEnds);
        Publish(await ServeAsync((_, _) => new("two")));
        IHeldCall<string> next = await _calls.HoldAsync("b", default, TestEnds);

        Assert.Equal(("one", "two"), (held.Response, next.Response));
        Assert.Equal(1, one.Gate.Replicas[0].Permits.Ongoing);
        held.End(completed: true, error: null);
        next.End(completed: true, error: null);
        Assert.Equal(0, one.Gate.Replicas[0].Permits.Ongoing);
    }

    [Fact]
    public async Task BroadcastAsync_AnotherRevisionTakesOver_ReachesOnlyThatOne()
    {
        Publish(await ServeAsync((_, _) => new("one")));
        IReadOnlyList<string> first = await _calls.BroadcastAsync("a", TestEnds);
        Publish(await ServeAsync((_, _) => new("two")));
        IReadOnlyList<string> second = await _calls.BroadcastAsync("b", TestEnds);
        _serving.Publish(ServingSnapshot.Empty);

        Assert.Equal(["one"], first);
        Assert.Equal(["two"], second);
        await Assert.ThrowsAsync<DeploymentUnavailableException>(() => _calls.BroadcastAsync("c", TestEnds));
    }

    [Fact]
    public async Task CallAsync_OnlyOtherThingsChange_KeepsItsHandleAndSoItsQueue()
    {
        ServedDeployment served = await ServeAsync((request, _) => new(request));
        for (int i = 0; i < 3; i++)
        {
            Publish(served);
            await _calls.CallAsync("a", TestEnds);
        }

        Assert.Equal(3, Assert.Single(served.Gate.Handles).Counts.Completed);
    }

    /// <summary>Certain, because the handler itself publishes what would be called next.</summary>
    [Fact]
    public async Task CallAsync_ItsHandlerFindsSomethingUnavailableWhileAnotherTakesOver_IsNotRunTwice()
    {
        ServedDeployment two = await ServeAsync((_, _) => new("two"));
        ServedDeployment one = await ServeAsync((_, _) =>
        {
            Publish(two);
            throw new DeploymentUnavailableException("A child of one is not there.");
        });
        Publish(one);

        DeploymentUnavailableException failure = await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await _calls.CallAsync("a", TestEnds));

        Assert.StartsWith("A child", failure.Message, StringComparison.Ordinal);
        Assert.Empty(two.Gate.Handles);
    }

    [Fact]
    public async Task CallAsync_Uncontended_AllocatesNothing()
    {
        Publish(await ServeAsync(static (_, _) => new("same")));
        await _calls.CallAsync("a", TestEnds);

        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                ValueTask<string> call = _calls.CallAsync("a", CancellationToken.None);
                Assert.True(call.IsCompletedSuccessfully);
                call.GetAwaiter().GetResult();
            }
        }));
    }

    private void Publish(ServedDeployment served) =>
        _serving.Publish(new([new("app", "/", served, served.Gate.Handles.FirstOrDefault()!, null, null, ExpectsReplicas: false) { Deployments = [served] }]));

    private async Task<ServedDeployment> ServeAsync(Func<string, CancellationToken, ValueTask<string>> answer)
    {
        DeploymentDefinition definition = new("D", _ => new Handler(answer), new DeploymentOptions(), http: null, blocks: false, typeof(string), typeof(string));
        ServedDeployment served = new("app", definition, new() { MaxOngoingRequests = 2, MaxQueuedRequests = 2 }, _environment);
        Replica replica = new("r", definition, _clock);
        await replica.StartAsync(
            new("app", "D", replica.Id, static () => 0, null, _clock, NullLogger.Instance, new ReplicaHandles("app", new Dictionary<string, ServedDeployment>())), null);
        served.Gate.AddReplica(replica, 2);
        return served;
    }

    private sealed class Handler(Func<string, CancellationToken, ValueTask<string>> answer) : IDeployment<string, string>
    {
        public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => answer(request, cancellationToken);
    }
}
