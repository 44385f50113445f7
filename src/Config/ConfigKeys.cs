using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Config;

/// <summary>
/// Every key that an operator may write: the one table from which reading, ranges, error texts, overrides, the diff of a
/// reload, the writer, <c>config.toml</c> and <c>docs/configuration.md</c> all follow.
/// <para>To add a key:</para>
/// <list type="number">
/// <item>a property with its default in the record (<c>ServeConfig.cs</c>);</item>
/// <item>one entry here, in the place where the file shall show it;</item>
/// <item>run the tests once with <c>SERVE_UPDATE_DOCS=1</c>: it puts the key into <c>config.toml</c> and <c>docs/configuration.md</c>;</item>
/// <item>a line of bad input in <c>ConfigReaderTests</c>. That reading, writing and the diff know the key is tested for all keys at once.</item>
/// </list>
/// </summary>
internal static class ConfigKeys
{
    public const int MaxApplications = 10_000;
    public const int MaxDeployments = 1_000;

    private const long MaxBodyBytes = 1L << 40;

    private static readonly ConfigType<string> Name =
        new TextType("a name of ASCII letters, digits, '_', '-' and '.', at most 128 long", TextRules.Name);

    private static readonly ConfigType<string> Host = new TextType("an IP address or a host name", TextRules.Host);
    private static readonly ConfigType<int> Port = new IntegerType<int>(0, 65535, " (0 = any free port)");
    private static readonly ConfigType<bool> Switch = new BooleanType();

    private static readonly KeyTable<HttpOptionsConfig> Http = new KeyTable<HttpOptionsConfig>("[http_options]", () => new())
        .Value("host", Host, r => r.Host, (r, v) => r with { Host = v }, UpdateKind.Restart,
            "Address to listen on. 0.0.0.0 or :: let everybody in who can reach the machine.")
        .Value("port", Port, r => r.Port, (r, v) => r with { Port = v }, UpdateKind.Restart,
            "Port to listen on; the line that says \"ready\" names it.")
        .Value("request_timeout_s", new SecondsOrNoneType(none: null), r => r.RequestTimeout, (r, v) => r with { RequestTimeout = v }, UpdateKind.Live,
            "End to end, time in the queue included; then 408, and the handler is cancelled. Upgraded connections are exempt.", example: "30.0")
        .Value("stream_timeout_s", new SecondsOrNoneType(Timeout.InfiniteTimeSpan), r => r.StreamTimeout, (r, v) => r with { StreamTimeout = v }, UpdateKind.Live,
            "Takes the place of request_timeout_s once a streamed body has begun. Not set: request_timeout_s goes on; 0: streams may take as long as they like.", example: "3600.0")
        .Value("keep_alive_timeout_s", new SecondsType(SecondsType.Shortest, SecondsType.Longest), r => r.KeepAliveTimeout, (r, v) => r with { KeepAliveTimeout = v }, UpdateKind.Live,
            "How long an idle connection is kept open.")
        .Value("max_connections", new IntegerType<int>(1, 1_000_000), r => r.MaxConnections, (r, v) => r with { MaxConnections = v }, UpdateKind.Live,
            "Connections accepted at the same time.")
        .Value("max_request_body_bytes", new IntegerType<long>(0, MaxBodyBytes), r => r.MaxRequestBodyBytes, (r, v) => r with { MaxRequestBodyBytes = v }, UpdateKind.Live,
            "A larger request body is answered with 413.")
        .Value("shutdown_delay_s", new SecondsType(0, 3600), r => r.ShutdownDelay, (r, v) => r with { ShutdownDelay = v }, UpdateKind.Live,
            "From SIGTERM, when /-/readyz turns to 503, until the server stops accepting: time for load balancers to see it.");

    private static readonly KeyTable<AdminOptionsConfig> Admin = new KeyTable<AdminOptionsConfig>("[admin_options]", () => new())
        .Value("host", Host, r => r.Host, (r, v) => r with { Host = v }, UpdateKind.Restart,
            "Address of the admin port. Whoever reaches it controls the server.")
        .Value("port", Port, r => r.Port, (r, v) => r with { Port = v }, UpdateKind.Restart,
            "Port for status and control.");

    private static readonly KeyTable<LoggingConfig> Logging = new KeyTable<LoggingConfig>("[logging_config]", () => new())
        .Value("encoding", new WordType<LogEncoding>(("TEXT", LogEncoding.Text), ("JSON", LogEncoding.Json)),
            r => r.Encoding, (r, v) => r with { Encoding = v }, UpdateKind.Live,
            "How a log line looks. Logs go to stderr.")
        .Value("log_level", new WordType<LogLevel>(("TRACE", LogLevel.Trace), ("DEBUG", LogLevel.Debug), ("INFO", LogLevel.Information),
                ("WARNING", LogLevel.Warning), ("ERROR", LogLevel.Error), ("CRITICAL", LogLevel.Critical)),
            r => r.Level, (r, v) => r with { Level = v }, UpdateKind.Live,
            "The least important lines that are still written.")
        .Value("enable_access_log", Switch, r => r.EnableAccessLog, (r, v) => r with { EnableAccessLog = v }, UpdateKind.Live,
            "One line for each request.");

    private static readonly KeyTable<BackpressureConfig> Backpressure = new KeyTable<BackpressureConfig>("backpressure_config", () => new())
        .Value("status_code", new ChoiceType(503, 429), r => r.StatusCode, (r, v) => r with { StatusCode = v }, UpdateKind.Live,
            "Status of a refusal.")
        .Value("retry_after_s", new OptionalType<double>(new NumberType(0, 86400)), r => r.RetryAfterS, (r, v) => r with { RetryAfterS = v }, UpdateKind.Live,
            "A fixed Retry-After, rounded up to whole seconds. Not set: computed from the queue and how fast it drains.", example: "5.0");

    private static readonly KeyTable<DeploymentConfig> Deployment = new KeyTable<DeploymentConfig>("[[applications.deployments]]", () => new() { Name = "" })
        .Value("name", Name, r => r.Name, (r, v) => r with { Name = v }, update: null,
            "The deployment's name in the code.", required: true)
        .Value("num_replicas", new OptionalType<int>(new IntegerType<int>(1, 10_000)), r => r.NumReplicas, (r, v) => r with { NumReplicas = v }, UpdateKind.Live,
            "Copies of the handler that run side by side.", inCode: "1")
        .Value("max_ongoing_requests", new OptionalType<int>(new IntegerType<int>(1, 1_000_000)), r => r.MaxOngoingRequests, (r, v) => r with { MaxOngoingRequests = v }, UpdateKind.Live,
            "Requests that each replica works on at the same time.", inCode: "5")
        .Value("max_queued_requests", new OptionalType<int>(new IntegerType<int>(-1, 1_000_000, " (0 = no queue, -1 = unlimited)")), r => r.MaxQueuedRequests, (r, v) => r with { MaxQueuedRequests = v }, UpdateKind.Live,
            "Requests that wait, for each handle, while every replica is busy; one more is refused at once. Unlimited still ends at about a million.", inCode: "100")
        .Value("max_queue_wait_s", new OptionalType<TimeSpan>(new SecondsType(SecondsType.Shortest, SecondsType.Longest)), r => r.MaxQueueWait, (r, v) => r with { MaxQueueWait = v }, UpdateKind.Live,
            "A request that has waited this long is refused.", example: "10.0")
        .Value("graceful_shutdown_timeout_s", new OptionalType<TimeSpan>(new SecondsType(0, 86400)), r => r.GracefulShutdownTimeout, (r, v) => r with { GracefulShutdownTimeout = v }, UpdateKind.Live,
            "How long a replica that is to stop may finish what it has begun.", inCode: "20.0")
        .Value("user_config", new FreeFormType(), r => r.UserConfig, (r, v) => r with { UserConfig = v }, UpdateKind.Reconfigure,
            "Handed to the handler as it is; the handler says what may be in it.", example: "{ key = \"value\" }")
        .InlineTable("backpressure_config", Backpressure, r => r.Backpressure, (r, v) => r with { Backpressure = v },
            "What a refusal looks like to an HTTP client.", "{ status_code = 429, retry_after_s = 5.0 }");

    private static readonly KeyTable<ApplicationConfig> Application = new KeyTable<ApplicationConfig>("[[applications]]", () => new() { ImportPath = "" })
        .Value("name", Name, r => r.Name, (r, v) => r with { Name = v }, update: null,
            "Tells the application apart; no two may share one.")
        .Value("route_prefix", new TextOrNoneType(new TextType("a path such as /, /a or /a/b, or \"\" (not exposed over HTTP)", TextRules.RoutePrefix)),
            r => r.RoutePrefix, (r, v) => r with { RoutePrefix = v }, UpdateKind.Live,
            "Where the application answers; the longest prefix wins, and no two may share one.")
        .Value("import_path", new TextType("an import path such as builtin:slow", TextRules.ImportPath), r => r.ImportPath, (r, v) => r with { ImportPath = v }, UpdateKind.Replace,
            "Which of the applications that are compiled in.", required: true)
        .Value("request_timeout_s", new SecondsOrNoneType(Timeout.InfiniteTimeSpan), r => r.RequestTimeout, (r, v) => r with { RequestTimeout = v }, UpdateKind.Live,
            "For this application, in place of the one in [http_options].", example: "30.0")
        .List("deployments", Deployment, MaxDeployments, r => r.Deployments, (r, v) => r with { Deployments = v },
            "Options of the application's deployments. What is not written here is as the code says, and comes back to that when it is taken out; the defaults are those of code that says nothing.", "[[applications.deployments]]");

    /// <summary>The whole file.</summary>
    public static KeyTable<ServeConfig> Root { get; } = new KeyTable<ServeConfig>("the file's top level", () => new())
        .Table("http_options", Http, r => r.Http, (r, v) => r with { Http = v }, "The data port: where requests come in.")
        .Table("admin_options", Admin, r => r.Admin, (r, v) => r with { Admin = v }, "The admin port: status and control, a listener of its own.")
        .Table("logging_config", Logging, r => r.Logging, (r, v) => r with { Logging = v }, "How log lines look and which are written.")
        .List("applications", Application, MaxApplications, r => r.Applications, (r, v) => r with { Applications = v },
            "The applications to serve. applications = [] starts with none.", "[[applications]]");

    /// <summary>The header of the table that has a key of this name, if any: for a key that was written in the wrong place.</summary>
    public static string? TableOf(string name)
    {
        foreach (ConfigKey table in Root.Keys)
        {
            if (table.Name == name)
            {
                return "the file's top level";
            }

            if (table.Children.Any(key => key.Name == name))
            {
                return table.Shape == ConfigKeyShape.List ? $"[[{table.Name}]]" : $"[{table.Name}]";
            }
        }

        return Deployment.Keys.Any(key => key.Name == name) ? "[[applications.deployments]]"
            : Backpressure.Keys.Any(key => key.Name == name) ? "backpressure_config" : null;
    }
}
