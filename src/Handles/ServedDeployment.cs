using System.Globalization;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>A deployment as its callers see it: its gate, the limits in force, and the words in which it refuses. Lives as long as its replicas do.</summary>
internal sealed class ServedDeployment : IDisposable
{
    private const int SaidSlots = 16;

    private readonly ServeEnvironment _environment;
    private readonly RefusalLog _refusals;
    private readonly Lock _limiting = new();
    private DeploymentLimits _limits;

    /// <summary>The latest refusals, by their <c>Retry-After</c>: under overload the same few are said again and again, and to say one anew costs as much as to admit a request.</summary>
    private SaidBefore?[]? _said;

    public ServedDeployment(string application, DeploymentDefinition definition, DeploymentLimits limits, ServeEnvironment environment)
    {
        Application = application;
        Definition = definition;
        Gate = new(environment);
        _limits = limits;
        _environment = environment;
        _refusals = new(environment.Loggers.CreateLogger(LogCategories.Proxy), application, definition.Name, environment.Time);
    }

    public string Application { get; }

    public string Name => Definition.Name;

    public DeploymentDefinition Definition { get; }

    public AdmissionGate Gate { get; }

    public TimeProvider Time => _environment.Time;

    /// <summary>The limits in force. Setting them changes the queues of all handles at once; replicas are resized by their owner.</summary>
    public DeploymentLimits Limits
    {
        get => Volatile.Read(ref _limits);
        set
        {
            lock (_limiting)
            {
                Volatile.Write(ref _limits, value);
                foreach (Handle handle in Gate.Handles)
                {
                    handle.MaxQueued = value.MaxQueuedRequests;
                }
            }
        }
    }

    /// <summary>A new caller.</summary>
    public Handle OpenHandle()
    {
        // A handle that is opened while the limits move must not keep the old ones.
        lock (_limiting)
        {
            return Gate.AddHandle(Limits.MaxQueuedRequests);
        }
    }

    /// <summary>Says no to an arrival that found the queue full.</summary>
    public Refusal QueueFull(int queued)
    {
        DeploymentLimits limits = Limits;
        int retryAfter = Gate.RetryAfter.Seconds(Gate, limits.RetryAfterS);
        int replicas = Gate.Replicas.Length;
        SaidBefore?[] said = _said ??= new SaidBefore?[SaidSlots];
        ref SaidBefore? slot = ref said[retryAfter % SaidSlots];
        if (Volatile.Read(ref slot) is { } before && before.Is(limits, queued, replicas, retryAfter))
        {
            return before.Refusal;
        }

        Refusal refusal = new(
            string.Create(
                CultureInfo.InvariantCulture,
                $"Request dropped due to backpressure (num_queued_requests={queued}, max_queued_requests={limits.MaxQueuedRequests}). Deployment '{Name}' of application '{Application}' is at its limits: max_queued_requests = {limits.MaxQueuedRequests}, max_ongoing_requests = {limits.MaxOngoingRequests} on each of {replicas} replica(s). Retry after {retryAfter} s."),
            limits.BackpressureStatusCode,
            retryAfter);
        Volatile.Write(ref slot, new(limits, queued, replicas, refusal));
        return refusal;
    }

    /// <summary>Says no to a request that waited too long.</summary>
    public Refusal WaitedTooLong(TimeSpan maxWait)
    {
        DeploymentLimits limits = Limits;
        int retryAfter = Gate.RetryAfter.Seconds(Gate, limits.RetryAfterS);
        return new(
            string.Create(
                CultureInfo.InvariantCulture,
                $"Request dropped due to backpressure (num_queued_requests={Gate.Waiting}, max_queued_requests={limits.MaxQueuedRequests}). It waited {maxWait.TotalSeconds} s, the max_queue_wait_s of deployment '{Name}' of application '{Application}'. Retry after {retryAfter} s."),
            limits.BackpressureStatusCode,
            retryAfter);
    }

    /// <summary>Says no to a request for an upgraded connection.</summary>
    public Refusal WebsocketsFull(int limit)
    {
        DeploymentLimits limits = Limits;

        // How long the others stay is not known, and the queue has nothing to do with it.
        int retryAfter = Gate.RetryAfter.Seconds(Gate, limits.RetryAfterS ?? 1);
        return new(
            string.Create(
                CultureInfo.InvariantCulture,
                $"Request dropped due to backpressure (max_websockets={limit}). Deployment '{Name}' of application '{Application}' has as many upgraded connections as it may: max_websockets = {limit} on each of {Gate.Replicas.Length} replica(s). Retry after {retryAfter} s."),
            limits.BackpressureStatusCode,
            retryAfter);
    }

    /// <summary>One warning in the words that the caller was told; under a flood, how many were left out.</summary>
    public void LogRefusal(Refusal refusal) => _refusals.Write(refusal, static r => r.Message);

    /// <summary>Says that nothing can run the request.</summary>
    public string UnavailableMessage() =>
        $"Deployment '{Name}' of application '{Application}' is unavailable: it failed to start, the box has no place for it, or it is being removed. 'serve status' says why.";

    /// <summary>Says that the caller is no more.</summary>
    public string ClosedMessage() =>
        $"A handle to deployment '{Name}' of application '{Application}' was used after it was closed: the replica that opened it has stopped. End background work when the replica stops.";

    /// <summary>Its last replica is gone: nothing of it may go on ticking.</summary>
    public void Dispose()
    {
        _refusals.Dispose();
        Gate.RetryAfter.Dispose();
    }

    /// <summary>A refusal and all that its words were made from.</summary>
    private sealed record SaidBefore(DeploymentLimits Limits, int Queued, int Replicas, Refusal Refusal)
    {
        public bool Is(DeploymentLimits limits, int queued, int replicas, int retryAfter) =>
            ReferenceEquals(Limits, limits) && Queued == queued && Replicas == replicas && Refusal.RetryAfterSeconds == retryAfter;
    }
}
