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

    public ControllerOptionsConfig Controller { get; init; } = new();

    public BoxConfig Box { get; init; } = new();

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

    /// <summary>A file that holds the token which every request must show; <see langword="null"/> = none is asked for.</summary>
    public string? TokenFile { get; init; }

    /// <summary>Names, beside its own, under which the port answers.</summary>
    public EquatableList<string> AllowedHosts { get; init; } = [];
}

/// <summary>How the controller keeps what must outlive the server.</summary>
internal sealed record ControllerOptionsConfig
{
    /// <summary>Where generations are kept; <see langword="null"/> = <c>$STATE_DIRECTORY</c>, else the user's folder for state.</summary>
    public string? StateDir { get; init; }
}

/// <summary>What all replicas together may take; <see langword="null"/> = what the machine, or the cgroup that the server runs in, has.</summary>
internal sealed record BoxConfig
{
    /// <summary><see langword="null"/> = no limit on their number.</summary>
    public int? MaxReplicas { get; init; }

    public double? Cpus { get; init; }

    public int? MemoryMb { get; init; }
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

    /// <summary><see langword="null"/> = the application is a worker: its deployment has a command.</summary>
    public string? ImportPath { get; init; }

    /// <summary>
    /// <see langword="null"/> = the one of <see cref="HttpOptionsConfig"/>,
    /// <see cref="Timeout.InfiniteTimeSpan"/> (written <c>0</c>) = none for this application.
    /// </summary>
    public TimeSpan? RequestTimeout { get; init; }

    /// <summary>Canonical JSON of a table; <see langword="null"/> = none.</summary>
    public string? Args { get; init; }

    /// <summary>In which surroundings its workers run; <see langword="null"/> = the server's.</summary>
    public RuntimeEnvConfig? RuntimeEnv { get; init; }

    /// <summary>The interpreter of a <c>python:</c> application; <see langword="null"/> = python3.</summary>
    public string? Python { get; init; }

    public EquatableList<DeploymentConfig> Deployments { get; init; } = [];
}

/// <summary>
/// Overrides of one deployment's options. <see langword="null"/> means "what the code says": taking an override
/// out of the file brings the code's value back.
/// </summary>
internal sealed record DeploymentConfig
{
    public required string Name { get; init; }

    public ReplicaCount? NumReplicas { get; init; }

    public AutoscalingConfig? Autoscaling { get; init; }

    public int? MaxOngoingRequests { get; init; }

    /// <summary>-1 = unlimited, 0 = no queue.</summary>
    public int? MaxQueuedRequests { get; init; }

    public TimeSpan? MaxQueueWait { get; init; }

    /// <summary><see langword="null"/> = an upgraded connection holds a permit.</summary>
    public int? MaxWebsockets { get; init; }

    public TimeSpan? GracefulShutdownTimeout { get; init; }

    /// <summary>Ray Serve's; it has no effect here.</summary>
    public TimeSpan? GracefulShutdownWaitLoop { get; init; }

    public TimeSpan? HealthCheckPeriod { get; init; }

    public TimeSpan? HealthCheckTimeout { get; init; }

    public int? MaxConstructorRetryCount { get; init; }

    public double? RollingUpdatePercentage { get; init; }

    /// <summary>Old replicas go before the new are up.</summary>
    public bool? Replaces { get; init; }

    public double? NumCpus { get; init; }

    public int? MemoryMb { get; init; }

    public int? Weight { get; init; }

    /// <summary>Canonical JSON (compact, keys in the order written), so that equal values compare equal.</summary>
    public string? UserConfig { get; init; }

    public BackpressureConfig? Backpressure { get; init; }

    public WorkerConfig Worker { get; init; } = new();
}

/// <summary>What a refusal looks like to an HTTP client.</summary>
internal sealed record BackpressureConfig
{
    /// <summary>503 or 429.</summary>
    public int StatusCode { get; init; } = 503;

    /// <summary>A fixed Retry-After; <see langword="null"/> = computed from the queue.</summary>
    public double? RetryAfterS { get; init; }
}

/// <summary>How many replicas follow the load, and how fast. What was not written has Ray Serve's defaults.</summary>
internal sealed record AutoscalingConfig
{
    public int MinReplicas { get; init; } = 1;

    /// <summary><see langword="null"/> = <see cref="MinReplicas"/>, or as many as there are when it is deployed again.</summary>
    public int? InitialReplicas { get; init; }

    /// <summary><see langword="null"/> = 1, and 100 where <c>num_replicas</c> is <c>"auto"</c>.</summary>
    public int? MaxReplicas { get; init; }

    public double TargetOngoingRequests { get; init; } = 2;

    public TimeSpan LookBackPeriod { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Ray Serve's; it has no effect here.</summary>
    public TimeSpan? MetricsInterval { get; init; }

    public TimeSpan UpscaleDelay { get; init; } = TimeSpan.FromSeconds(30);

    public TimeSpan DownscaleDelay { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary>From 1 to 0; <see langword="null"/> = <see cref="DownscaleDelay"/>.</summary>
    public TimeSpan? DownscaleToZeroDelay { get; init; }

    public double UpscalingFactor { get; init; } = 1;

    public double DownscalingFactor { get; init; } = 1;

    public AggregationFunction Aggregation { get; init; } = AggregationFunction.Mean;

    /// <summary>The name of a policy that code registered; <see langword="null"/> = the built-in one.</summary>
    public string? Policy { get; init; }
}

/// <summary>The options of a deployment whose replicas are processes. <see langword="null"/> means the default, or what is written for the application.</summary>
internal sealed record WorkerConfig
{
    /// <summary>A program and its arguments; empty = the replicas are no commands.</summary>
    public EquatableList<string> Command { get; init; } = [];

    public RuntimeEnvConfig? RuntimeEnv { get; init; }

    /// <summary><see langword="null"/> = a replica that accepts connections is well.</summary>
    public string? HealthCheckPath { get; init; }

    /// <summary><see langword="null"/> = a new <c>user_config</c> restarts the replicas.</summary>
    public string? ReconfigurePath { get; init; }

    public TimeSpan? StartupTimeout { get; init; }

    public RetryMode? Retry { get; init; }

    public int? MaxRequestsPerReplica { get; init; }

    public TimeSpan? MaxReplicaAge { get; init; }

    public int? MaxReplicaRssMb { get; init; }

    public int? Nice { get; init; }

    public EquatableList<int> CpuAffinity { get; init; } = [];

    public int? MaxOpenFiles { get; init; }

    public RlimitsConfig? Rlimits { get; init; }

    /// <summary>MiB; <see langword="null"/> = as much as there is.</summary>
    public int? MemoryMaxMb { get; init; }

    /// <summary>Processors; <see langword="null"/> = all.</summary>
    public double? CpuMax { get; init; }
}

/// <summary>The kernel's limits of a worker, soft and hard alike. <see langword="null"/> = the server's.</summary>
internal sealed record RlimitsConfig
{
    public const int Unlimited = -1;

    /// <summary>MiB.</summary>
    public int? CoreMb { get; init; }

    /// <summary>MiB.</summary>
    public int? AddressSpaceMb { get; init; }

    /// <summary>MiB.</summary>
    public int? LockedMemoryMb { get; init; }

    public int? Processes { get; init; }
}

/// <summary>The surroundings of a worker.</summary>
internal sealed record RuntimeEnvConfig
{
    /// <summary>From the folder of the configuration file; <see langword="null"/> = that folder.</summary>
    public string? WorkingDir { get; init; }

    public EquatableList<EnvironmentVariable> EnvVars { get; init; } = [];

    /// <summary>Nothing of the server's own environment is handed on.</summary>
    public bool ClearEnv { get; init; }
}

/// <summary>One variable of a process's environment.</summary>
internal sealed record EnvironmentVariable(string Name, string Value);

/// <summary>Whether a request whose worker died under it is sent to another one.</summary>
internal enum RetryMode
{
    /// <summary>If its method says that doing it twice is the same as doing it once.</summary>
    Idempotent,

    Never,

    /// <summary>The operator knows that it does no harm.</summary>
    Always,
}
