using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Admin;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Hosting.Systemd;
using Serve.Embedded.Proxy;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>The whole server in one object: makes its rooms, starts them in order, changes them with the configuration, and takes them down callers first.</summary>
internal sealed class Server : IAsyncDisposable
{
    private readonly GoalBuilder _goals;
    private readonly WorkerHost _workers;
    private readonly ServeEnvironment _environment;
    private readonly LiveLogSettings _logSettings;
    private readonly ILogger _logger;
    private readonly ProxyServer? _proxy;
    private readonly AdminServer? _admin;
    private readonly Controller.Controller _controller;
    private readonly Task _control;
    private ServeConfig _config;

    private Server(
        ServeConfig config,
        DeploymentRegistry registry,
        ServeEnvironment environment,
        LiveLogSettings logSettings,
        Func<Server, IAdminControl> control,
        ServingState serving,
        string? token,
        InheritedSockets? sockets,
        IReadOnlyList<IPEndPoint>? data,
        IReadOnlyList<IPEndPoint>? admin,
        string folder)
    {
        StartedAt = environment.Time.GetUtcNow();
        environment = environment.Services is null ? environment with { Services = new(() => ReplicaServices.Of(registry, environment)) } : environment;
        _config = config;
        _goals = new(registry, folder);
        _workers = new(environment, Environment.GetEnvironmentVariable);
        _environment = environment;
        _logSettings = logSettings;
        _logger = environment.Loggers.CreateLogger(LogCategories.Server);
        ApplicationDefinitions code = new(registry, (settings, context) => new(settings, context, _workers));
        _controller = new(registry, serving, environment, code: code.Of, waits: true);
        Application = new(serving, environment, new(environment.Loggers, logSettings), SettingsOf(config.Http));
        Control = control(this);
        Token = token;
        _proxy = data is null ? null : new(Application, data, sockets is { HttpAddresses.Count: > 0 } ? sockets.Open : null);
        _admin = admin is null ? null : new(
            admin, new(new(config.Admin.Host, config.Admin.AllowedHosts), token), environment.Loggers, Control, sockets is { AdminAddresses.Count: > 0 } ? sockets.Open : null);
        _control = _controller.RunAsync();
    }

    /// <summary>What answers HTTP, on the data port or for a host.</summary>
    public ProxyApplication Application { get; }

    /// <summary>What may be asked of it over the admin port, or over a host's own routes.</summary>
    public IAdminControl Control { get; }

    /// <summary>The admin port's; <see langword="null"/> = none is asked for.</summary>
    public string? Token { get; }

    /// <summary>The configuration in force, with the values of keys that wait for a restart.</summary>
    public ServeConfig Config => Volatile.Read(ref _config);

    /// <summary>What runs and how it is doing.</summary>
    public ControllerStatus Status => _controller.Status;

    public bool IsDraining => Application.IsDraining;

    public DateTimeOffset StartedAt { get; }

    /// <summary>By the server's own clock.</summary>
    public DateTimeOffset Now => _environment.Time.GetUtcNow();

    /// <summary>The controller's loop turns.</summary>
    public bool IsAlive => !_control.IsCompleted;

    /// <summary>Connections on the data port.</summary>
    public int ConnectionCount => _proxy?.ConnectionCount ?? 0;

    /// <summary>What is told to those who measure and trace.</summary>
    public ServeTelemetry Telemetry => _environment.Telemetry;

    /// <summary>How long the way out may take: the longest <c>graceful_shutdown_timeout_s</c> after the shutdown delay.</summary>
    public TimeSpan Grace => _controller.Status.Applications
        .SelectMany(a => a.Deployments)
        .Select(d => d.Goal.GracefulShutdownTimeout)
        .Append(TimeSpan.FromSeconds(1))
        .Max() + Config.Http.ShutdownDelay;

    /// <summary>Where the data port really listens; none where it has no such port.</summary>
    public IReadOnlyList<string> Addresses => _proxy?.Addresses ?? [];

    public IReadOnlyList<string> AdminAddresses => _admin?.Addresses ?? [];

    /// <summary>Connections on the data port that serve a request now.</summary>
    public int CountBusyConnections() => _proxy?.CountBusyConnections() ?? 0;

    /// <summary>Makes a server that neither listens nor serves yet: <see cref="Apply"/> what it shall serve, then <see cref="ListenAsync()"/>.</summary>
    /// <param name="config">Its listeners and limits.</param>
    /// <param name="registry">What is compiled in.</param>
    /// <param name="environment">Clock, chance, logs.</param>
    /// <param name="logSettings">Which lines are written.</param>
    /// <param name="control">Makes what the admin port may ask for.</param>
    /// <param name="sockets">Those that systemd has opened for it; <see langword="null"/> = none.</param>
    /// <param name="folder">That of the configuration file: from there workers' folders are seen.</param>
    /// <param name="ports">Which listeners of its own it has; without one it is reached through <see cref="Application"/>.</param>
    /// <param name="serving">Holds what is served, where somebody looks at that before there is a server.</param>
    /// <exception cref="ServeException">A host name has no address, or the token cannot be read.</exception>
    public static async Task<Server> CreateAsync(
        ServeConfig config,
        DeploymentRegistry registry,
        ServeEnvironment environment,
        LiveLogSettings logSettings,
        Func<Server, IAdminControl> control,
        InheritedSockets? sockets = null,
        string folder = "/",
        ServerPorts ports = ServerPorts.Both,
        ServingState? serving = null) => new(
            config,
            registry,
            environment,
            logSettings,
            control,
            serving ?? new(),
            AdminToken.Read(config.Admin.TokenFile, folder),
            sockets,
            !ports.HasFlag(ServerPorts.Data) ? null
                : sockets is { HttpAddresses.Count: > 0 } ? sockets.HttpAddresses
                : await Endpoints.ResolveAsync("http_options", config.Http.Host, config.Http.Port),
            !ports.HasFlag(ServerPorts.Admin) ? null
                : sockets is { AdminAddresses.Count: > 0 } ? sockets.AdminAddresses
                : await Endpoints.ResolveAsync("admin_options", config.Admin.Host, config.Admin.Port),
            folder);

    /// <summary>Lets requests in. One that comes before its replicas are up waits in its deployment's queue.</summary>
    /// <exception cref="ServeException">An address cannot be had.</exception>
    public async Task ListenAsync()
    {
        ServeConfig config = Config;
        if (_proxy is not null)
        {
            await ListenAsync("http_options", config.Http.Host, config.Http.Port, _proxy.StartAsync);
        }

        if (_admin is not null)
        {
            await ListenAsync("admin_options", config.Admin.Host, config.Admin.Port, _admin.StartAsync);
        }

        _controller.Begin();
    }

    /// <summary>Told what a file of Python declares that could not be imported before.</summary>
    public void WhenMended(Action<PythonSource, PythonCode> then) => _workers.Importer.OnMended = then;

    /// <summary>What the files of Python that a configuration names declare, as far as that is known without importing them; <see langword="null"/> = they must be imported.</summary>
    /// <param name="config">Which names them.</param>
    /// <param name="kept">What they declared at another time; <see langword="null"/> = nothing is known of it.</param>
    public IReadOnlyDictionary<PythonSource, PythonCode>? KnownCode(ServeConfig config, string? kept) => PythonCodeText.Read(kept, _goals.PythonSources(config));

    /// <summary>Imports the files of Python that a configuration names.</summary>
    /// <param name="config">Which names them.</param>
    /// <param name="each">Told of each as soon as it is known.</param>
    public Task<IReadOnlyDictionary<PythonSource, PythonCode>> ImportAsync(ServeConfig config, Action<PythonSource, PythonCode>? each = null) =>
        _workers.Importer.ReadAsync(_goals.PythonSources(config), each);

    /// <summary>Puts a new configuration into force as far as that needs no restart of the server, and says what has changed.</summary>
    /// <param name="config">What shall be.</param>
    /// <param name="code">What its files of Python declare; who asks for an application whose file is not among them waits for <see cref="Complete"/>.</param>
    /// <param name="force">Try also what has failed already and is unchanged.</param>
    /// <param name="atomic">If one application fails, all go back.</param>
    /// <returns>Whose task completes when the applications are as asked, or have failed to be.</returns>
    public ApplyRequest Apply(ServeConfig config, IReadOnlyDictionary<PythonSource, PythonCode> code, bool force = false, bool atomic = false)
    {
        foreach (ConfigChange change in ConfigDiff.Compare(Config, config))
        {
            if (change.Update == UpdateKind.Restart)
            {
                Log.ConfigNeedsRestart(_logger, change.ToString());
            }
            else
            {
                Log.ConfigChanged(_logger, change.ToString(), change.Update.ToString().ToLowerInvariant());
            }
        }

        ServeConfig before = Config;
        config = config with
        {
            Http = config.Http with { Host = before.Http.Host, Port = before.Http.Port },
            Admin = before.Admin,
        };
        _logSettings.Current = SettingsOf(config.Logging);
        Application.Settings = SettingsOf(config.Http);
        _proxy?.ApplySettings();
        Volatile.Write(ref _config, config);
        ApplyRequest request = new(_goals.Build(config, code), force, atomic, config.Box);
        _ = _controller.ApplyAsync(request);
        return request;
    }

    /// <summary>Completes what was applied with what a file of Python declares.</summary>
    public void Complete(ApplyRequest request, ServeConfig config, PythonSource source, PythonCode code) => _controller.Complete(request, _goals.Build(config, source, code));

    /// <summary>
    /// The way out: what has arrived is answered, then replicas end, then the admin port closes. The longest
    /// <c>graceful_shutdown_timeout_s</c> is the deadline of it all.
    /// </summary>
    /// <param name="cutOff">Ends it before that deadline.</param>
    public async Task StopAsync(CancellationToken cutOff = default)
    {
        TimeSpan grace = Grace;
        using CancellationTokenSource late = new(grace, _environment.Time);
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cutOff);
        Application.IsDraining = true;
        if (_proxy is not null)
        {
            await _proxy.DrainAsync(deadline.Token);
        }

        try
        {
            await _controller.ShutdownAsync().WaitAsync(deadline.Token);
            await _control.WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            Log.ShutdownDeadline(_logger, grace.TotalSeconds.ToString(CultureInfo.InvariantCulture));
        }

        if (_admin is not null)
        {
            await _admin.StopAsync(deadline.Token);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_proxy is not null)
        {
            await _proxy.DisposeAsync();
        }

        if (_admin is not null)
        {
            await _admin.DisposeAsync();
        }

        await _workers.DisposeAsync();
    }

    public static LogSettings SettingsOf(LoggingConfig config) => new()
    {
        Json = config.Encoding == LogEncoding.Json,
        MinimumLevel = config.Level,
        AccessLog = config.EnableAccessLog,
    };

    private static ProxySettings SettingsOf(HttpOptionsConfig http) => new()
    {
        KeepAliveTimeout = http.KeepAliveTimeout,
        MaxConnections = http.MaxConnections,
        MaxRequestBodyBytes = http.MaxRequestBodyBytes,
        ShutdownDelay = http.ShutdownDelay,
    };

    private static async Task ListenAsync(string section, string host, int port, Func<CancellationToken, Task> start)
    {
        try
        {
            await start(CancellationToken.None);
        }
        catch (Exception exception) when (exception is IOException or SocketException or UnauthorizedAccessException)
        {
            throw Endpoints.CannotListen(section, host, port, exception);
        }
    }
}

/// <summary>The listeners that a server has of its own.</summary>
[Flags]
internal enum ServerPorts
{
    None = 0,
    Data = 1,
    Admin = 2,
    Both = Data | Admin,
}
