using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>A deployment as its callers see it: its gate, the limits in force, and the words in which it refuses. Lives as long as its replicas do.</summary>
internal sealed class ServedDeployment : IMeasuredDeployment, IDisposable
{
    private const int SaidSlots = 16;

    /// <summary>Why it is unavailable to whom nobody has told more.</summary>
    private const string Removed = "it is being removed";

    private readonly RefusalLog _refusals;
    private readonly Lock _limiting = new();
    private readonly ConcurrentDictionary<string, bool> _callees = new(StringComparer.Ordinal);
    private DeploymentLimits _limits;
    private string _whyUnavailable = Removed;

    /// <summary>The latest refusals, by their <c>Retry-After</c>: under overload the same few are said again and again, and to say one anew costs as much as to admit a request.</summary>
    private SaidBefore?[]? _said;

    // With the properties that come first it is what every request reads: together they are in one or two lines of the cache.
    private readonly ServeEnvironment _environment;

    public ServedDeployment(string application, DeploymentDefinition definition, DeploymentLimits limits, ServeEnvironment environment)
    {
        Application = application;
        Definition = definition;
        Gate = new(environment);
        Router = definition.Options.Router;
        _limits = limits;
        _environment = environment;
        _refusals = new(environment.Loggers.CreateLogger(LogCategories.Proxy), application, definition.Name, environment.Time);
        Measures = Telemetry.Measure(this);
        Http = Measures.Http;
    }

    public string Application { get; }

    public string Name => Definition.Name;

    public DeploymentDefinition Definition { get; }

    public AdmissionGate Gate { get; }

    /// <summary>Ranks replicas; <see langword="null"/> = the built-in choice.</summary>
    public IRequestRouter? Router { get; }

    /// <summary>What became of the application's HTTP requests.</summary>
    public HttpCounts Http { get; }

    public TimeProvider Time => _environment.Time;

    public ServeTelemetry Telemetry => _environment.Telemetry;

    /// <summary>What is measured of it and of the deployment's other revisions.</summary>
    public DeploymentMeasures Measures { get; }

    RequestTotals IMeasuredDeployment.Totals => Gate.Totals;

    int IMeasuredDeployment.Queued => Gate.InOrder;

    IEnumerable<(string Replica, int Requests)> IMeasuredDeployment.Ongoing => Gate.Replicas.Select(static r => (r.Id, r.Ongoing));

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

    /// <summary>For a call that begins, if anybody wants to know of it.</summary>
    public CallObservation Observe() => Telemetry.HearsCalls ? new(this, Time.GetTimestamp()) : default;

    /// <summary>A new caller.</summary>
    public Handle OpenHandle()
    {
        // A handle that is opened while the limits move must not keep the old ones.
        lock (_limiting)
        {
            return Gate.AddHandle(Limits.MaxQueuedRequests);
        }
    }

    /// <summary>Which replicas a call from code prefers; <see langword="null"/> = none.</summary>
    public CallRoute? RouteOf<TRequest>(TRequest request, CallOptions options) =>
        Router is not null ? RouteOf(new RoutedRequest { Request = request, ModelId = options.ModelId, SessionId = options.SessionId })
        : options.ModelId is null && options.SessionId is null ? null
        : new(options.ModelId, options.SessionId, null);

    /// <summary>Which replicas a request from HTTP prefers; <see langword="null"/> = none.</summary>
    public CallRoute? RouteOf(IHttpRequestFeature request, string? modelId, string? sessionId) =>
        Router is not null ? RouteOf(new RoutedRequest { Path = request.Path, Headers = request.Headers, ModelId = modelId, SessionId = sessionId })
        : modelId is null && sessionId is null ? null
        : new(modelId, sessionId, null);

    /// <summary>Notes that this deployment calls another.</summary>
    /// <param name="callee">The other.</param>
    /// <param name="deployments">All of the application.</param>
    /// <exception cref="InvalidOperationException">They call each other in a circle.</exception>
    public void Calls(ServedDeployment callee, IReadOnlyDictionary<string, ServedDeployment> deployments)
    {
        // Noted first and asked second: of two that close a circle at the same time at least one sees it.
        _callees.TryAdd(callee.Name, true);
        if (CallCircle.From(Name, name => name == Name ? [callee.Name] : deployments.TryGetValue(name, out ServedDeployment? next) ? next._callees.Keys : []) is { } way)
        {
            throw new InvalidOperationException(CallCircle.Message($"Deployments of application '{Application}'", way));
        }
    }

    /// <summary>Whether a replica of this deployment has asked for a handle to another one.</summary>
    public bool AskedFor(string deployment) => _callees.ContainsKey(deployment);

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
    public string UnavailableMessage() => $"Deployment '{Name}' of application '{Application}' is unavailable: {Volatile.Read(ref _whyUnavailable)}. 'serve status' says why.";

    /// <summary>Nothing of it serves, or will for now: whoever waits or comes is told so at once.</summary>
    /// <param name="why">What goes on after "is unavailable: ".</param>
    public void BecomesUnavailable(string why)
    {
        Volatile.Write(ref _whyUnavailable, why);
        Gate.SetUnavailable(true);
    }

    public void BecomesAvailable()
    {
        Gate.SetUnavailable(false);
        Volatile.Write(ref _whyUnavailable, Removed);
    }

    /// <summary>Says that the replica had to stop on which the request ran.</summary>
    public string ReplicaStoppedMessage() => $"Deployment '{Name}' of application '{Application}' could not finish the request: its replica had to stop, and its graceful_shutdown_timeout_s was over.";

    /// <summary>Says that the caller is no more.</summary>
    public string ClosedMessage() =>
        $"A handle to deployment '{Name}' of application '{Application}' was used after it was closed: the replica that opened it has stopped. End background work when the replica stops.";

    /// <summary>Its last replica is gone: nothing of it may go on ticking.</summary>
    public void Dispose()
    {
        _refusals.Dispose();
        Gate.RetryAfter.Dispose();
        Telemetry.Deployments.Remove(this);
    }

    private CallRoute? RouteOf(in RoutedRequest request)
    {
        Replica[] replicas = Gate.Replicas;
        if (replicas.Length <= 1)
        {
            return null;
        }

        ReplicaView[] views = [.. replicas.Select(static r => new ReplicaView(r.Id, r.Rank, r.Permits.Ongoing, r.Permits.Limit, r.Models.Holds))];
        int[] ranking = new int[replicas.Length];
        int count = Router!.Rank(request, views, ranking);
        if (count < 0 || count > ranking.Length || ranking.AsSpan(0, count).ContainsAnyExceptInRange(0, replicas.Length - 1))
        {
            throw new InvalidOperationException(
                $"The router of deployment '{Name}' of application '{Application}', {Router.GetType().Name}, ranked {count} replica(s) at [{string.Join(", ", ranking)}]: there are {replicas.Length}, at 0 to {replicas.Length - 1}.");
        }

        return new(request.ModelId, request.SessionId, [.. ranking.AsSpan(0, count).ToArray().Select(i => replicas[i])]);
    }

    /// <summary>A refusal and all that its words were made from.</summary>
    private sealed record SaidBefore(DeploymentLimits Limits, int Queued, int Replicas, Refusal Refusal)
    {
        public bool Is(DeploymentLimits limits, int queued, int replicas, int retryAfter) =>
            ReferenceEquals(Limits, limits) && Queued == queued && Replicas == replicas && Refusal.RetryAfterSeconds == retryAfter;
    }
}
