using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

/// <summary>One deployment with replicas, called through one handle, without a server. Its handlers do what the test says and are told on which replica they run.</summary>
internal sealed class TestDeployment<TRequest, TResponse>
{
    private readonly DeploymentDefinition _definition;

    public TestDeployment(Func<string, TRequest, CancellationToken, ValueTask<TResponse>> handle, int limit = 1, int maxQueued = 10, IRequestRouter? router = null, ServeTelemetry? telemetry = null, string application = "app")
    {
        ServeEnvironment environment = new(Clock, new SeededRandom(3), ServeEnvironment.ResumeOnThreadPool, NullLoggerFactory.Instance) { Telemetry = telemetry ?? ServeTelemetry.Silent };
        Limit = limit;
        _definition = new("D", c => new Handler(c, handle), new() { Router = router }, http: null, blocks: false, typeof(TRequest), typeof(TResponse));
        Served = new(application, _definition, new() { MaxOngoingRequests = limit, MaxQueuedRequests = maxQueued }, environment);
        Handle = Served.OpenHandle();
        Caller = new(new HandleCalls<TRequest, TResponse>(Served, Handle));
    }

    public ManualTimeProvider Clock { get; } = new();

    public ServedDeployment Served { get; }

    public Handle Handle { get; }

    public DeploymentHandle<TRequest, TResponse> Caller { get; }

    public int Limit { get; }

    public async Task<Replica> AddAsync(string id = "r0")
    {
        Replica replica = new(id, _definition, Clock);
        await replica.StartAsync(new("app", "D", id, static () => 0, null, Clock, NullLogger.Instance, new ReplicaHandles("app", new Dictionary<string, ServedDeployment>())), null);
        Served.Gate.AddReplica(replica, Limit);
        return replica;
    }

    private sealed class Handler(DeploymentContext context, Func<string, TRequest, CancellationToken, ValueTask<TResponse>> handle) : IDeployment<TRequest, TResponse>
    {
        public ValueTask<TResponse> HandleAsync(TRequest request, CancellationToken cancellationToken) => handle(context.ReplicaId, request, cancellationToken);
    }
}
