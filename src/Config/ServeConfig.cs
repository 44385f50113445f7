using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Config;

/// <summary>
/// What an operator wrote, whole and validated. An option that was not written keeps its default here, or stays
/// <see langword="null"/> where the default belongs to somebody else (the code that registered the deployment).
/// Records compare by value, so that two readings of one file are equal; <see cref="EquatableList{T}"/> makes that true of lists.
/// </summary>
internal sealed record ServeConfig
{
    public HttpOptionsConfig Http { get; init; } = new();

    public AdminOptionsConfig Admin { get; init; } = new();

    public LoggingConfig Logging { get; init; } = new();

    /// <summary>Where generations are kept; <see langword="null"/> = <c>$STATE_DIRECTORY</c>, else the user's folder for state.</summary>
    public string? StateDir { get; init; }

    public EquatableList<ApplicationConfig> Applications { get; init; } = [];
}

/// <summary>The data port: where it listens and what one client may take of it.</summary>
internal sealed record HttpOptionsConfig
{
    public string Host { get; init; } = "127.0.0.1";

    public int Port { get; init; } = 8000;

    /// <summary>End to end, queue included; <see langword="null"/> = none.</summary>
    public TimeSpan? RequestTimeout { get; init; }

    /// <summary>
    /// Replaces the request timeout once a streamed body has begun; <see langword="null"/> = the request timeout goes on,
    /// <see cref="Timeout.InfiniteTimeSpan"/> (written <c>0</c>) = no timeout for streams.
    /// </summary>
    public TimeSpan? StreamTimeout { get; init; }

    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(90);

    public int MaxConnections { get; init; } = 10_000;

    public long MaxRequestBodyBytes { get; init; } = 104_857_600;

    /// <summary>From SIGTERM until the listener stops accepting, for load balancers that need to see readyz first.</summary>
    public TimeSpan ShutdownDelay { get; init; }
}

/// <summary>The admin port: REST, status, and later the dashboard and metrics.</summary>
internal sealed record AdminOptionsConfig
{
    public string Host { get; init; } = "127.0.0.1";

    public int Port { get; init; } = 8265;
}

/// <summary>How log lines look and which are written.</summary>
internal sealed record LoggingConfig
{
    public LogEncoding Encoding { get; init; } = LogEncoding.Text;

    public LogLevel Level { get; init; } = LogLevel.Information;

    public bool EnableAccessLog { get; init; } = true;
}

/// <summary>The two forms of a log line.</summary>
internal enum LogEncoding
{
    Text,
    Json,
}

/// <summary>One application: a named group of deployments under at most one route prefix.</summary>
internal sealed record ApplicationConfig
{
    public string Name { get; init; } = "default";

    /// <summary><see langword="null"/> (written <c>""</c>) = not exposed over HTTP.</summary>
    public string? RoutePrefix { get; init; } = "/";

    public required string ImportPath { get; init; }

    /// <summary>
    /// <see langword="null"/> = the one of <see cref="HttpOptionsConfig"/>,
    /// <see cref="Timeout.InfiniteTimeSpan"/> (written <c>0</c>) = none for this application.
    /// </summary>
    public TimeSpan? RequestTimeout { get; init; }

    public EquatableList<DeploymentConfig> Deployments { get; init; } = [];
}

/// <summary>
/// Overrides of one deployment's options. <see langword="null"/> means "what the code says": taking an override
/// out of the file brings the code's value back.
/// </summary>
internal sealed record DeploymentConfig
{
    public required string Name { get; init; }

    public int? NumReplicas { get; init; }

    public int? MaxOngoingRequests { get; init; }

    /// <summary>-1 = unlimited, 0 = no queue.</summary>
    public int? MaxQueuedRequests { get; init; }

    public TimeSpan? MaxQueueWait { get; init; }

    public TimeSpan? GracefulShutdownTimeout { get; init; }

    /// <summary>Canonical JSON (compact, keys in the order written), so that equal values compare equal.</summary>
    public string? UserConfig { get; init; }

    public BackpressureConfig? Backpressure { get; init; }
}

/// <summary>What a refusal looks like to an HTTP client.</summary>
internal sealed record BackpressureConfig
{
    /// <summary>503 or 429.</summary>
    public int StatusCode { get; init; } = 503;

    /// <summary>A fixed Retry-After; <see langword="null"/> = computed from the queue.</summary>
    public double? RetryAfterS { get; init; }
}
