namespace Serve.Embedded;

/// <summary>
/// A deployment's limits and replica count as its code declares them. A configuration file overrides them one by one.
/// Meanings are Ray Serve's. What is out of its range is refused where the deployment is registered, by <see cref="ArgumentException"/>.
/// </summary>
public sealed record DeploymentOptions
{
    /// <summary>The physical bound of a queue that <see cref="MaxQueuedRequests"/> = -1 calls unlimited: 1,000,000 waiting requests.</summary>
    public const int UnlimitedQueueCap = 1_000_000;

    /// <summary>Running instances, 1 to 10,000. Default 1. Leave it at that where <see cref="Autoscaling"/> is set.</summary>
    public int NumReplicas { get; init; } = 1;

    /// <summary>Lets the load decide how many instances run; <see langword="null"/> (default) = always <see cref="NumReplicas"/>.</summary>
    public AutoscalingOptions? Autoscaling { get; init; }

    /// <summary>Requests that one replica works on at the same time, 1 to 1,000,000. Default 5.</summary>
    public int MaxOngoingRequests { get; init; } = 5;

    /// <summary>Requests that wait per handle before the rest is refused; 0 = none wait; -1 = up to <see cref="UnlimitedQueueCap"/>. Default 100.</summary>
    public int MaxQueuedRequests { get; init; } = 100;

    /// <summary>How long a request may wait before it is refused, 1 ms to 30 days; <see langword="null"/> (default) = as long as its own timeout lets it.</summary>
    public TimeSpan? MaxQueueWait { get; init; }

    /// <summary>
    /// Upgraded connections (WebSockets) that one replica may have at the same time, 0 to 1,000,000. They hold no permit of <see cref="MaxOngoingRequests"/> then, and one more is refused at once.
    /// <see langword="null"/> (default) = each holds a permit for as long as it lives, as it always does where the handler blocks.
    /// </summary>
    public int? MaxWebsockets { get; init; }

    /// <summary>How long a stopping replica may finish its requests before they are cancelled, 0 to a day. Default 20 s.</summary>
    public TimeSpan GracefulShutdownTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>From the start of one health check of a replica to the start of the next, a tenth more or less; 1 ms to 30 days. Default 10 s.</summary>
    public TimeSpan HealthCheckPeriod { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>A health check that takes longer has failed; after three failures in a row the replica is replaced. 1 ms to 30 days. Default 30 s.</summary>
    public TimeSpan HealthCheckTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Failed starts, but at most three for each wanted replica, after which a deploy counts as failed; 1 to 10,000. Default 20.</summary>
    public int MaxConstructorRetryCount { get; init; } = 20;

    /// <summary>Which part of the replicas an update works on at the same time, 0.001 to 1; at least one replica. Default 0.2.</summary>
    public double RollingUpdatePercentage { get; init; } = 0.2;

    /// <summary>
    /// <see langword="true"/>: an update stops old replicas before new ones are up, for machines that cannot hold both (<c>rolling_update = "replace"</c>).
    /// Default <see langword="false"/>: new ones are up first.
    /// </summary>
    public bool ReplacesOnUpdate { get; init; }

    /// <summary>Processors that each replica takes of the box's budget, 0 to 10,000; <see langword="null"/> (default) = none. Nothing keeps a replica from using more.</summary>
    public double? NumCpus { get; init; }

    /// <summary>Memory in MiB that each replica takes of the box's budget, 0 to 16 TiB; <see langword="null"/> (default) = none. Nothing keeps a replica from using more.</summary>
    public int? MemoryMb { get; init; }

    /// <summary>Its share of the box, beside the weights of others, when together they want more than there is; 1 to 1,000. Default 1.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>Ranks the replicas for each request; <see langword="null"/> (default) = of two random ones the less busy, after those that have the request's model or session.</summary>
    public IRequestRouter? Router { get; init; }

    /// <summary>HTTP status of a refusal: 503 (default) or 429.</summary>
    public int BackpressureStatusCode { get; init; } = 503;

    /// <summary>A fixed <c>Retry-After</c> in seconds, 0 to 86,400, rounded up to whole ones; <see langword="null"/> (default) = computed from the queue's depth and how fast it drains.</summary>
    public double? RetryAfterS { get; init; }

    /// <summary>The default <c>user_config</c> as JSON text, for a handler that is <see cref="IReconfigurable"/>; the start of any other fails. <see langword="null"/> (default) = none.</summary>
    public string? UserConfig { get; init; }
}
