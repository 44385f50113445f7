namespace Serve.Embedded.Config;

/// <summary>The keys of a deployment: the part of <see cref="ConfigKeys"/> that code declares too.</summary>
internal static class DeploymentKeys
{
    public const int MaxReplicas = 10_000;

    /// <summary>16 TiB.</summary>
    public const int MaxMemoryMb = 16 * 1024 * 1024;

    private static readonly SecondsType Delay = new(0, SecondsType.Longest);
    private static readonly SecondsType Duration = new(SecondsType.Shortest, SecondsType.Longest);
    private static readonly NumberType Factor = new(0.001, 1_000);

    private static readonly KeyTable<BackpressureConfig> Backpressure = new KeyTable<BackpressureConfig>("backpressure_config", () => new())
        .Value("status_code", new ChoiceType(503, 429), r => r.StatusCode, (r, v) => r with { StatusCode = v }, UpdateKind.Live,
            "Status of a refusal.")
        .Value("retry_after_s", new OptionalType<double>(new NumberType(0, 86400)), r => r.RetryAfterS, (r, v) => r with { RetryAfterS = v }, UpdateKind.Live,
            "A fixed Retry-After, rounded up to whole seconds. Not set: computed from the queue and how fast it drains.", example: "5.0");

    private static readonly KeyTable<AutoscalingConfig> Autoscaling = new KeyTable<AutoscalingConfig>("autoscaling_config", () => new())
        .Value("min_replicas", new IntegerType<int>(0, MaxReplicas), r => r.MinReplicas, (r, v) => r with { MinReplicas = v }, UpdateKind.Live,
            "Never fewer. With 0, a request that finds none waits in the queue and wakes one up.")
        .Value("initial_replicas", new OptionalType<int>(new IntegerType<int>(0, MaxReplicas)), r => r.InitialReplicas, (r, v) => r with { InitialReplicas = v }, UpdateKind.Live,
            "How many at every deploy. Not set: min_replicas, or as many as there are when it is deployed again.")
        .Value("max_replicas", new OptionalType<int>(new IntegerType<int>(1, MaxReplicas)), r => r.MaxReplicas, (r, v) => r with { MaxReplicas = v }, UpdateKind.Live,
            "Never more. With num_replicas = \"auto\" the default is 100, or what [box] holds.", inCode: "1")
        .Value("target_ongoing_requests", new NumberType(0.001, 1_000_000), r => r.TargetOngoingRequests, (r, v) => r with { TargetOngoingRequests = v }, UpdateKind.Live,
            "Requests, running or waiting, that there shall be for each replica on average.")
        .Value("look_back_period_s", Duration, r => r.LookBackPeriod, (r, v) => r with { LookBackPeriod = v }, UpdateKind.Live,
            "The load is that of so much time before now.")
        .Value("metrics_interval_s", new OptionalType<TimeSpan>(Duration), r => r.MetricsInterval, (r, v) => r with { MetricsInterval = v }, UpdateKind.Live,
            "How often replicas report their load.", noEffect: "the load is at hand, and each decision sees it as it is")
        .Value("upscale_delay_s", Delay, r => r.UpscaleDelay, (r, v) => r with { UpscaleDelay = v }, UpdateKind.Live,
            "More replicas must have been wanted for so long without a break. From 0 it is always at once.")
        .Value("downscale_delay_s", Delay, r => r.DownscaleDelay, (r, v) => r with { DownscaleDelay = v }, UpdateKind.Live,
            "Fewer replicas must have been wanted for so long without a break.")
        .Value("downscale_to_zero_delay_s", new OptionalType<TimeSpan>(Delay), r => r.DownscaleToZeroDelay, (r, v) => r with { DownscaleToZeroDelay = v }, UpdateKind.Live,
            "The same for the last replica. Not set: downscale_delay_s.")
        .Value("upscaling_factor", Factor, r => r.UpscalingFactor, (r, v) => r with { UpscalingFactor = v }, UpdateKind.Live,
            "How much of the way up to go at once: 0.5 is half of it.")
        .Value("downscaling_factor", Factor, r => r.DownscalingFactor, (r, v) => r with { DownscalingFactor = v }, UpdateKind.Live,
            "How much of the way down to go at once.")
        .Value("aggregation_function", new WordType<AggregationFunction>(("mean", AggregationFunction.Mean), ("max", AggregationFunction.Max), ("min", AggregationFunction.Min)),
            r => r.Aggregation, (r, v) => r with { Aggregation = v }, UpdateKind.Live,
            "What counts of the load in the look-back period.")
        .Value("policy", new OptionalTextType(TextTypes.Name), r => r.Policy, (r, v) => r with { Policy = v }, UpdateKind.Live,
            "A policy of your own, by the name under which code registered it. Not set: running and waiting requests, divided by target_ongoing_requests.")
        .Instead("smoothing_factor", "upscaling_factor and downscaling_factor")
        .Instead("upscale_smoothing_factor", "upscaling_factor")
        .Instead("downscale_smoothing_factor", "downscaling_factor");

    /// <summary>Also one for a whole application.</summary>
    internal static readonly KeyTable<RuntimeEnvConfig> RuntimeEnv = new KeyTable<RuntimeEnvConfig>("runtime_env", () => new())
        .Value("working_dir", new OptionalTextType(TextTypes.Path), r => r.WorkingDir, (r, v) => r with { WorkingDir = v }, UpdateKind.Replace,
            "The folder that it starts in, seen from the folder of the configuration file. Not set: that folder.", example: "\".\"")
        .Value("env_vars", new EnvironmentType(), r => r.EnvVars, (r, v) => r with { EnvVars = v }, UpdateKind.Replace,
            "Variables of its environment, beside those of the server's own.", example: "{ MODEL = \"small\" }")
        .Value("clear_env", new BooleanType(), r => r.ClearEnv, (r, v) => r with { ClearEnv = v }, UpdateKind.Replace,
            "Hand on nothing of the server's own environment but PATH.");

    private static readonly IntegerType<int> Mebibytes = new(RlimitsConfig.Unlimited, MaxMemoryMb, " (-1 = unlimited)");

    private static readonly KeyTable<RlimitsConfig> Rlimits = new KeyTable<RlimitsConfig>("rlimits", () => new())
        .Value("core_mb", new OptionalType<int>(Mebibytes), r => r.CoreMb, (r, v) => r with { CoreMb = v }, UpdateKind.Replace,
            "RLIMIT_CORE, in MiB: how large a core dump may be. 0: none is made.", example: "0")
        .Value("address_space_mb", new OptionalType<int>(Mebibytes), r => r.AddressSpaceMb, (r, v) => r with { AddressSpaceMb = v }, UpdateKind.Replace,
            "RLIMIT_AS, in MiB: addresses, of which a program takes more than it uses memory. memory_max_mb is most often what is meant.", example: "65536")
        .Value("locked_memory_mb", new OptionalType<int>(Mebibytes), r => r.LockedMemoryMb, (r, v) => r with { LockedMemoryMb = v }, UpdateKind.Replace,
            "RLIMIT_MEMLOCK, in MiB: memory that it may keep from being swapped out, as drivers of some devices want it.", example: "1024")
        .Value("processes", new OptionalType<int>(new IntegerType<int>(RlimitsConfig.Unlimited, 4_194_304, " (-1 = unlimited)")), r => r.Processes, (r, v) => r with { Processes = v }, UpdateKind.Replace,
            "RLIMIT_NPROC: processes and threads of its user, those of other programs counted too.", example: "4096");

    public static KeyTable<DeploymentConfig> Table { get; } = new KeyTable<DeploymentConfig>("[[applications.deployments]]", () => new() { Name = "" })
        .Value("name", TextTypes.Name, r => r.Name, (r, v) => r with { Name = v }, update: null,
            "The deployment's name in the code.", required: true)
        .Value("num_replicas", new OptionalType<ReplicaCount>(new ReplicaCountType(1, MaxReplicas)), r => r.NumReplicas, (r, v) => r with { NumReplicas = v }, UpdateKind.Live,
            "Copies of the handler that run side by side. \"auto\": as many as the load asks for, from 1 to 100, or as autoscaling_config says.", inCode: "1")
        .InlineTable("autoscaling_config", Autoscaling, r => r.Autoscaling, (r, v) => r with { Autoscaling = v },
            "Lets the load decide how many replicas there are. Leave num_replicas out then, or write \"auto\".",
            "{ min_replicas = 1, max_replicas = 10, target_ongoing_requests = 2.0 }")
        .Value("max_ongoing_requests", new OptionalType<int>(new IntegerType<int>(1, 1_000_000)), r => r.MaxOngoingRequests, (r, v) => r with { MaxOngoingRequests = v }, UpdateKind.Live,
            "Requests that each replica works on at the same time.", inCode: "5")
        .Value("max_queued_requests", new OptionalType<int>(new IntegerType<int>(-1, 1_000_000, " (0 = no queue, -1 = unlimited)")), r => r.MaxQueuedRequests, (r, v) => r with { MaxQueuedRequests = v }, UpdateKind.Live,
            "Requests that wait, for each handle, while every replica is busy; one more is refused at once. Unlimited still ends at about a million.", inCode: "100")
        .Value("max_queue_wait_s", new OptionalType<TimeSpan>(Duration), r => r.MaxQueueWait, (r, v) => r with { MaxQueueWait = v }, UpdateKind.Live,
            "A request that has waited this long is refused.", example: "10.0")
        .Value("max_websockets", new OptionalType<int>(new IntegerType<int>(0, 1_000_000)), r => r.MaxWebsockets, (r, v) => r with { MaxWebsockets = v }, UpdateKind.Live,
            "Upgraded connections (WebSockets) that each replica may have at the same time; they hold no permit of max_ongoing_requests then, and one more is refused at once. Not set: each holds a permit for as long as it lives.", example: "1000")
        .Value("graceful_shutdown_timeout_s", new OptionalType<TimeSpan>(new SecondsType(0, 86400)), r => r.GracefulShutdownTimeout, (r, v) => r with { GracefulShutdownTimeout = v }, UpdateKind.Live,
            "How long a replica that is to stop may finish what it has begun.", inCode: "20.0")
        .Value("graceful_shutdown_wait_loop_s", new OptionalType<TimeSpan>(new SecondsType(0, 86400)), r => r.GracefulShutdownWaitLoop, (r, v) => r with { GracefulShutdownWaitLoop = v }, UpdateKind.Live,
            "How often a replica that is to stop looks whether it is idle.", example: "2.0", noEffect: "a replica stops as soon as it is idle")
        .Value("health_check_period_s", new OptionalType<TimeSpan>(Duration), r => r.HealthCheckPeriod, (r, v) => r with { HealthCheckPeriod = v }, UpdateKind.Live,
            "From one health check of a replica to the next, a tenth more or less.", inCode: "10.0")
        .Value("health_check_timeout_s", new OptionalType<TimeSpan>(Duration), r => r.HealthCheckTimeout, (r, v) => r with { HealthCheckTimeout = v }, UpdateKind.Live,
            "A health check that takes longer has failed. After three failures in a row the replica is replaced.", inCode: "30.0")
        .Value("max_constructor_retry_count", new OptionalType<int>(new IntegerType<int>(1, 10_000)), r => r.MaxConstructorRetryCount, (r, v) => r with { MaxConstructorRetryCount = v }, UpdateKind.Live,
            "Failed starts, but at most three for each replica, after which a deploy counts as failed.", inCode: "20")
        .Value("rolling_update_percentage", new OptionalType<double>(new NumberType(0.001, 1)), r => r.RollingUpdatePercentage, (r, v) => r with { RollingUpdatePercentage = v }, UpdateKind.Live,
            "Which part of the replicas an update works on at the same time; at least one replica.", inCode: "0.2")
        .Value("rolling_update", new OptionalType<bool>(new WordType<bool>(("start_first", false), ("replace", true))), r => r.Replaces, (r, v) => r with { Replaces = v }, UpdateKind.Live,
            "start_first: new replicas are up before old ones stop. replace: old ones stop first, for boxes that cannot hold both.", inCode: "\"start_first\"")
        .Value("num_cpus", new OptionalType<double>(new NumberType(0, 10_000)), r => r.NumCpus, (r, v) => r with { NumCpus = v }, UpdateKind.Live,
            "Processors that each replica takes of [box]. It is a number to plan with: nothing but a worker's cpu_max keeps a replica from using more.", inCode: "0.0")
        .Value("memory_mb", new OptionalType<int>(new IntegerType<int>(0, MaxMemoryMb)), r => r.MemoryMb, (r, v) => r with { MemoryMb = v }, UpdateKind.Live,
            "Memory, in MiB, that each replica takes of [box]; a number to plan with too, beside a worker's memory_max_mb.", inCode: "0")
        .Value("weight", new OptionalType<int>(new IntegerType<int>(1, 1_000)), r => r.Weight, (r, v) => r with { Weight = v }, UpdateKind.Live,
            "Its share of [box], beside the weights of the others, when together they want more than there is.", inCode: "1")
        .Value("user_config", new FreeFormType(), r => r.UserConfig, (r, v) => r with { UserConfig = v }, UpdateKind.Reconfigure,
            "Handed to the handler as it is; the handler says what may be in it. That of a worker takes at most 131,053 bytes as JSON.", example: "{ key = \"value\" }")
        .InlineTable("backpressure_config", Backpressure, r => r.Backpressure, (r, v) => r with { Backpressure = v },
            "What a refusal looks like to an HTTP client.", "{ status_code = 429, retry_after_s = 5.0 }")
        .Value("command", new ListType<string>("texts, a program and its arguments", 1_000, new TextType("a text", TextRules.Argument), isOptional: true),
            r => r.Worker.Command, (r, v) => r with { Worker = r.Worker with { Command = v } }, UpdateKind.Replace,
            "Makes each replica a worker: a process that speaks HTTP/1.1 on the Unix socket {socket}, or on the loopback port {port}. Both are put in wherever they are written, and stand in SERVE_SOCKET or PORT. The application has no import_path then.",
            example: "[\"python3\", \"model.py\", \"--socket\", \"{socket}\"]")
        .InlineTable("runtime_env", RuntimeEnv, r => r.Worker.RuntimeEnv, (r, v) => r with { Worker = r.Worker with { RuntimeEnv = v } },
            "The surroundings of a worker, in place of the application's.", "{ working_dir = \"model\", env_vars = { MODEL = \"small\" } }")
        .Value("health_check_path", new OptionalTextType(new TextType("a path such as /health", TextRules.RequestPath)),
            r => r.Worker.HealthCheckPath, (r, v) => r with { Worker = r.Worker with { HealthCheckPath = v } }, UpdateKind.Replace,
            "A worker is well when it answers this path with 200 to 399. Not set: when it accepts a connection.", example: "\"/health\"")
        .Value("reconfigure_path", new OptionalTextType(new TextType("a path such as /reconfigure", TextRules.RequestPath)),
            r => r.Worker.ReconfigurePath, (r, v) => r with { Worker = r.Worker with { ReconfigurePath = v } }, UpdateKind.Replace,
            "Where a worker takes a new user_config, by POST and as JSON. Not set: a new user_config restarts it.", example: "\"/reconfigure\"")
        .Value("startup_timeout_s", new OptionalType<TimeSpan>(Duration), r => r.Worker.StartupTimeout, (r, v) => r with { Worker = r.Worker with { StartupTimeout = v } }, UpdateKind.Replace,
            "A worker that is not well so long after its start has failed to start.", inCode: "60.0")
        .Value("retry", new OptionalType<RetryMode>(new WordType<RetryMode>(("idempotent", RetryMode.Idempotent), ("never", RetryMode.Never), ("always", RetryMode.Always))),
            r => r.Worker.Retry, (r, v) => r with { Worker = r.Worker with { Retry = v } }, UpdateKind.Live,
            "Whether a request whose worker died under it goes to another one, once. A request that no worker has seen always does.", inCode: "\"idempotent\"")
        .Value("max_requests_per_replica", new OptionalType<int>(new IntegerType<int>(1, int.MaxValue)),
            r => r.Worker.MaxRequestsPerReplica, (r, v) => r with { Worker = r.Worker with { MaxRequestsPerReplica = v } }, UpdateKind.Replace,
            "A worker that has had so many requests, a tenth more or less, is replaced; the new one is up first.", example: "100_000")
        .Value("max_replica_age_s", new OptionalType<TimeSpan>(new SecondsType(1, SecondsType.Longest)), r => r.Worker.MaxReplicaAge, (r, v) => r with { Worker = r.Worker with { MaxReplicaAge = v } }, UpdateKind.Replace,
            "The same for its age.", example: "86_400.0")
        .Value("max_replica_rss_mb", new OptionalType<int>(new IntegerType<int>(1, MaxMemoryMb)), r => r.Worker.MaxReplicaRssMb, (r, v) => r with { Worker = r.Worker with { MaxReplicaRssMb = v } }, UpdateKind.Replace,
            "The same for the memory, in MiB, that it has in use; looked at with every health check.", example: "2048")
        .Value("nice", new OptionalType<int>(new IntegerType<int>(-20, 19)), r => r.Worker.Nice, (r, v) => r with { Worker = r.Worker with { Nice = v } }, UpdateKind.Replace,
            "Its priority; the higher, the more it lets others go first.", example: "10")
        .Value("cpu_affinity", new ListType<int>("numbers of processors", 1_024, new IntegerType<int>(0, 1_023), isOptional: true), r => r.Worker.CpuAffinity, (r, v) => r with { Worker = r.Worker with { CpuAffinity = v } }, UpdateKind.Replace,
            "The processors that it may run on. Not set: all.", example: "[0, 1]")
        .Value("max_open_files", new OptionalType<int>(new IntegerType<int>(16, 1_048_576)), r => r.Worker.MaxOpenFiles, (r, v) => r with { Worker = r.Worker with { MaxOpenFiles = v } }, UpdateKind.Replace,
            "Its RLIMIT_NOFILE. Not set: the server's.", example: "4096")
        .InlineTable("rlimits", Rlimits, r => r.Worker.Rlimits, (r, v) => r with { Worker = r.Worker with { Rlimits = v } },
            "More of the kernel's limits for it, soft and hard alike. Not set: the server's.", "{ core_mb = 0, locked_memory_mb = 1024 }")
        .Value("memory_max_mb", new OptionalType<int>(new IntegerType<int>(1, MaxMemoryMb)), r => r.Worker.MemoryMaxMb, (r, v) => r with { Worker = r.Worker with { MemoryMaxMb = v } }, UpdateKind.Replace,
            "Memory, in MiB, that it may have in use, with all its descendants; the kernel kills them when they need more. Needs a control group (cgroup v2) of the server's own.", example: "4096")
        .Value("cpu_max", new OptionalType<double>(new NumberType(0.01, 10_000)), r => r.Worker.CpuMax, (r, v) => r with { Worker = r.Worker with { CpuMax = v } }, UpdateKind.Replace,
            "Processors that it may use at a time, with all its descendants. Needs a control group too.", example: "1.5");

    /// <summary>What code that is read at run time declares of a deployment, in JSON.</summary>
    public static DeploymentConfig? ReadDeclared(string name, string json, ConfigErrors errors) =>
        JsonConfigReader.Read(json, errors) is { } node ? Table.Bind(new() { Name = name }, WithName(node, name), errors) : null;

    public static string WriteDeclared(DeploymentConfig declared) => JsonText.Canonical(Table.ToNode(declared));

    /// <summary>What is written, over what code declares: key by key, but how many replicas there are is one matter.</summary>
    public static DeploymentConfig Overlay(DeploymentConfig declared, DeploymentConfig? written)
    {
        if (written is null)
        {
            return declared;
        }

        DeploymentConfig below = written.NumReplicas is null && written.Autoscaling is null ? declared : declared with { NumReplicas = null, Autoscaling = null };
        return Table.Bind(below, Table.ToNode(written), new ConfigErrors(declared.Name));
    }

    private static ConfigNode WithName(ConfigNode options, string name)
    {
        options.Members["name"] = new(default, ConfigNode.Of(name));
        return options;
    }

    /// <summary>Whether a key says something about processes, and so means nothing where code is compiled in.</summary>
    public static bool IsForWorkers(string name) => name is "command" or "runtime_env" or "health_check_path" or "reconfigure_path" or "startup_timeout_s" or "retry"
        or "max_requests_per_replica" or "max_replica_age_s" or "max_replica_rss_mb" or "nice" or "cpu_affinity" or "max_open_files" or "rlimits" or "memory_max_mb" or "cpu_max";

    /// <summary>As an operator writes it, the table that has a key of this name; <see langword="null"/> = none here.</summary>
    public static string? TableOf(string name) =>
        Table.Keys.Any(key => key.Name == name) ? "[[applications.deployments]]"
        : Table.Keys.FirstOrDefault(key => key.Children.Any(child => child.Name == name))?.Name;
}
