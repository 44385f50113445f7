namespace Serve.Embedded;

/// <summary>
/// A deployment's limits and replica count as its code declares them. A configuration file overrides them one by one.
/// Meanings are Ray Serve's.
/// </summary>
public sealed record DeploymentOptions
{
    /// <summary>The physical bound of a queue that <see cref="MaxQueuedRequests"/> = -1 calls unlimited: 1,000,000 waiting requests.</summary>
    public const int UnlimitedQueueCap = 1_000_000;

    /// <summary>Running instances, 1 or more. Default 1.</summary>
    public int NumReplicas { get; init; } = 1;

    /// <summary>Requests that one replica works on at the same time, 1 or more. Default 5.</summary>
    public int MaxOngoingRequests { get; init; } = 5;

    /// <summary>Requests that wait per handle before the rest is refused; 0 = none wait; -1 = up to <see cref="UnlimitedQueueCap"/>. Default 100.</summary>
    public int MaxQueuedRequests { get; init; } = 100;

    /// <summary>How long a request may wait before it is refused; <see langword="null"/> (default) = as long as its own timeout lets it.</summary>
    public TimeSpan? MaxQueueWait { get; init; }

    /// <summary>How long a stopping replica may finish its requests before they are cancelled. Default 20 s.</summary>
    public TimeSpan GracefulShutdownTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>HTTP status of a refusal: 503 (default) or 429.</summary>
    public int BackpressureStatusCode { get; init; } = 503;

    /// <summary>A fixed <c>Retry-After</c> in seconds; <see langword="null"/> (default) = computed from the queue's depth and how fast it drains.</summary>
    public double? RetryAfterS { get; init; }

    /// <summary>The default <c>user_config</c> as JSON text; <see langword="null"/> (default) = none.</summary>
    public string? UserConfig { get; init; }
}
