using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Config;

/// <summary>
/// Every key that an operator may write: the one table from which reading, ranges, error texts, overrides, the diff of a
/// reload, the writer, <c>config.toml</c> and <c>docs/configuration.md</c> all follow.
/// <para>To add a key:</para>
/// <list type="number">
/// <item>a property with its default in the record (<c>ServeConfig.cs</c>);</item>
/// <item>one entry here (in <see cref="DeploymentKeys"/> for a deployment's), in the place where the file shall show it;</item>
/// <item>run the tests once with <c>SERVE_UPDATE_DOCS=1</c>: it puts the key into <c>config.toml</c> and <c>docs/configuration.md</c>;</item>
/// <item>a line of bad input in <c>ConfigReaderTests</c>. That reading, writing and the diff know the key is tested for all keys at once.</item>
/// </list>
/// </summary>
internal static class ConfigKeys
{
    public const int MaxApplications = 10_000;
    public const int MaxDeployments = 1_000;

    private const long MaxBodyBytes = 1L << 40;

    private static readonly ConfigType<string?> OptionalPath = new OptionalTextType(TextTypes.Path);
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
            "Port for status and control.")
        .Value("token_file", OptionalPath, r => r.TokenFile, (r, v) => r with { TokenFile = v }, UpdateKind.Restart,
            "A file that holds a token, seen from the folder of the configuration file. Every request must then show it: Authorization: Bearer TOKEN.", example: "\"/etc/serve/token\"")
        .Value("allowed_hosts", new ListType<string>("host names", 100, Host), r => r.AllowedHosts, (r, v) => r with { AllowedHosts = v }, UpdateKind.Restart,
            "Names under which the port answers, beside localhost, its own addresses and host. Under any other name it refuses, so that no web page can reach it.");

    private static readonly KeyTable<ControllerOptionsConfig> Controller = new KeyTable<ControllerOptionsConfig>("[controller_options]", () => new())
        .Value("state_dir", OptionalPath, r => r.StateDir, (r, v) => r with { StateDir = v }, UpdateKind.Restart,
            "The folder below which the goal states that were accepted are kept, for rollback and for the next start; seen from the folder of the configuration file. Not set: $STATE_DIRECTORY, which systemd sets, else $XDG_STATE_HOME/serve, else ~/.local/state/serve.",
            example: "\"/var/lib/serve\"");

    private static readonly KeyTable<BoxConfig> Box = new KeyTable<BoxConfig>("[box]", () => new())
        .Value("max_replicas", new OptionalType<int>(new IntegerType<int>(1, 1_000_000)), r => r.MaxReplicas, (r, v) => r with { MaxReplicas = v }, UpdateKind.Live,
            "The most replicas of all deployments together. Not set: any number.", example: "50")
        .Value("cpus", new OptionalType<double>(new NumberType(0.01, 10_000)), r => r.Cpus, (r, v) => r with { Cpus = v }, UpdateKind.Live,
            "Processors for the replicas that ask for some with num_cpus. Not set: those of the machine, or of the cgroup that the server runs in.", example: "4.0")
        .Value("memory_mb", new OptionalType<int>(new IntegerType<int>(1, DeploymentKeys.MaxMemoryMb)), r => r.MemoryMb, (r, v) => r with { MemoryMb = v }, UpdateKind.Live,
            "Memory, in MiB, for the replicas that ask for some with memory_mb. Not set: that of the machine, or of the cgroup.", example: "2048");

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

    private static readonly KeyTable<ApplicationConfig> Application = new KeyTable<ApplicationConfig>("[[applications]]", () => new())
        .Value("name", TextTypes.Name, r => r.Name, (r, v) => r with { Name = v }, update: null,
            "Tells the application apart; no two may share one.")
        .Value("route_prefix", new TextOrNoneType(new TextType("a path such as /, /a or /a/b, or \"\" (not exposed over HTTP)", TextRules.RoutePrefix)),
            r => r.RoutePrefix, (r, v) => r with { RoutePrefix = v }, UpdateKind.Live,
            "Where the application answers; the longest prefix wins, and no two may share one.")
        .Value("import_path", new OptionalTextType(new TextType("an import path such as builtin:slow", TextRules.ImportPath)), r => r.ImportPath, (r, v) => r with { ImportPath = v }, UpdateKind.Replace,
            "Which of the applications that are compiled in, or python:FILE.CLASS. Left out where the deployment has a command.", example: "\"builtin:slow\"")
        .Value("request_timeout_s", new SecondsOrNoneType(Timeout.InfiniteTimeSpan), r => r.RequestTimeout, (r, v) => r with { RequestTimeout = v }, UpdateKind.Live,
            "For this application, in place of the one in [http_options].", example: "30.0")
        .Value("args", new FreeFormType(tableOnly: true), r => r.Args, (r, v) => r with { Args = v }, UpdateKind.Replace,
            "Handed to the factories of the application's handlers as it is; they say what may be in it.", example: "{ key = \"value\" }")
        .InlineTable("runtime_env", DeploymentKeys.RuntimeEnv, r => r.RuntimeEnv, (r, v) => r with { RuntimeEnv = v },
            "The surroundings of its workers.", "{ working_dir = \"model\", env_vars = { MODEL = \"small\" } }")
        .Value("python", new OptionalTextType(new TextType("a program", TextRules.Path)), r => r.Python, (r, v) => r with { Python = v }, UpdateKind.Replace,
            "The interpreter, 3.9 or newer, of a python: application; that of a virtual environment, say.", inCode: "\"python3\"")
        .List("deployments", DeploymentKeys.Table, MaxDeployments, r => r.Deployments, (r, v) => r with { Deployments = v },
            "Options of the application's deployments. What is not written here is as the code says, and comes back to that when it is taken out; the defaults are those of code that says nothing.", "[[applications.deployments]]");

    /// <summary>The whole file.</summary>
    public static KeyTable<ServeConfig> Root { get; } = new KeyTable<ServeConfig>("the file's top level", () => new())
        .Table("http_options", Http, r => r.Http, (r, v) => r with { Http = v }, "The data port: where requests come in.")
        .Table("admin_options", Admin, r => r.Admin, (r, v) => r with { Admin = v }, "The admin port: status and control, a listener of its own.")
        .Table("logging_config", Logging, r => r.Logging, (r, v) => r with { Logging = v }, "How log lines look and which are written.")
        .Table("controller_options", Controller, r => r.Controller, (r, v) => r with { Controller = v }, "How the server keeps what must outlive it.")
        .Table("box", Box, r => r.Box, (r, v) => r with { Box = v },
            "What all replicas together may take. Deployments that want more than there is get shares by weight, and serve status says who is held back.")
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

        return DeploymentKeys.TableOf(name);
    }

    public static ConfigNode ToNode(ApplicationConfig application) => Application.ToNode(application);
}
