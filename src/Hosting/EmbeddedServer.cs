using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Admin;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>A server inside a program of somebody else's: what <see cref="ServeRun"/> is to a process of its own, without signals, systemd and a log of its own.</summary>
internal sealed class EmbeddedServer
{
    private readonly ServeOptions _options;
    private readonly ConfigSource _source;
    private readonly GenerationStore _store;
    private readonly LiveLogSettings _logSettings;
    private readonly ILogger _logger;
    private PosixSignalRegistration? _hangup;
    private ConfigFileWatch? _watch;

    private EmbeddedServer(ServeOptions options, ConfigSource source, GenerationStore store, LiveLogSettings logSettings, ILogger logger)
    {
        _options = options;
        _source = source;
        _store = store;
        _logSettings = logSettings;
        _logger = logger;
    }

    public Server Server { get; private set; } = null!;

    public Deployer Deployer { get; private set; } = null!;

    /// <summary>Who may ask for what on the host's admin routes, beyond what the host says itself.</summary>
    public AdminGuard AdminGuard { get; private set; } = null!;

    /// <summary>What it tells of itself.</summary>
    public ServeTelemetry Telemetry { get; private init; } = ServeTelemetry.Silent;

    /// <summary>What it started with, once all of it is imported.</summary>
    public Task<ApplyRequest> First { get; private set; } = null!;

    /// <summary>Starts it. As on a port of its own, what has to be imported first is waited for by those who ask for it, and not by the host.</summary>
    /// <exception cref="ServeException">The configuration has errors, or an address cannot be had.</exception>
    public static async Task<EmbeddedServer> StartAsync(ServeOptions options, ServeEnvironment environment, ServingState serving, string? contentRoot, Action shutdown)
    {
        string? path = options.ConfigFile is { } file ? Path.GetFullPath(file, contentRoot ?? Environment.CurrentDirectory) : null;
        ConfigSource source = new(path, options.Registry, new Dictionary<string, string>(), static _ => null, options.Own);
        ILogger logger = environment.Loggers.CreateLogger(LogCategories.Server);
        ServeConfig config = Read(options, source, logger);
        LiveLogSettings logSettings = new(Server.SettingsOf(config.Logging)) { MayAccessLog = options.AccessLog };
        GenerationStore store = OpenStore(config, path, environment);
        EmbeddedServer embedded = new(options, source, store, logSettings, logger) { Telemetry = environment.Telemetry };
        ServerPorts ports = (options.ListenOnHttpPort ? ServerPorts.Data : ServerPorts.None) | (options.ListenOnAdminPort ? ServerPorts.Admin : ServerPorts.None);
        try
        {
            embedded.Server = await Server.CreateAsync(
                config, options.Registry, environment, logSettings, server => embedded.Deployer = new(server, source, store, logger, shutdown), folder: source.Folder, ports: ports, serving: serving);
            embedded.AdminGuard = new(hosts: null, embedded.Server.Token);
            await embedded.BootAsync(config);
        }
        catch
        {
            if (embedded.Server is not null)
            {
                await embedded.Server.DisposeAsync();
            }

            store.Dispose();
            throw;
        }

        Log.EmbeddedStarted(logger, config.Applications.Count, path ?? "code");
        embedded.ListenForReloads(environment.Time);
        return embedded;
    }

    /// <exception cref="ServeException">An application did not come up.</exception>
    public async Task SettledAsync(CancellationToken cancellationToken) =>
        await SettledAsync(await First.WaitAsync(cancellationToken), "Not every application has come up.", cancellationToken);

    public void BeginDrain() => Server.Application.IsDraining = true;

    public async Task ReloadAsync(CancellationToken cancellationToken)
    {
        ServeConfig config;
        try
        {
            config = Read(_options, _source, _logger);
        }
        catch (ServeException)
        {
            Deployer.NoteRefused();
            throw;
        }

        int changes = ConfigDiff.Compare(Server.Config, config).Count;
        ApplyRequest request = (await Deployer.DeployAsync(config, GenerationSource.Hangup)).Request;
        await SettledAsync(request, "What was read again did not come up.", cancellationToken);
        Log.Reloaded(_logger, _source.Path ?? "no file", changes);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _hangup?.Dispose();
        _watch?.Dispose();
        await Server.StopAsync(cancellationToken);
        await Server.DisposeAsync();
        _store.Dispose();
        Telemetry.Dispose();
    }

    /// <summary>Completes when requests are let in.</summary>
    private async Task BootAsync(ServeConfig config)
    {
        First = await Deployer.StartAsync(config, _source.Path is null ? GenerationSource.Code : GenerationSource.File, restoredFrom: null);

        // An import that the end of the server cuts off is nobody's trouble.
        _ = First.ContinueWith(static first => _ = first.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    private void ListenForReloads(TimeProvider time)
    {
        ReloadLoop reloads = new(ReloadAndTellAsync, exception => Log.ReloadFailed(_logger, exception));
        if (_options.ReloadOnHangup)
        {
            _hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
            {
                signal.Cancel = true;
                reloads.Request();
            });
        }

        if (_options.ReloadOnChange && _source.Path is { } path)
        {
            _watch = new(path, time, reloads.Request);
        }
    }

    /// <summary>A reload that nobody waits for: what is wrong goes to the log.</summary>
    private async Task ReloadAndTellAsync()
    {
        try
        {
            await ReloadAsync(CancellationToken.None);
        }
        catch (ServeException exception)
        {
            _source.TellRefused(exception.Errors, _logger);
        }
    }

    private static async Task SettledAsync(ApplyRequest request, string otherwise, CancellationToken cancellationToken)
    {
        ApplyOutcome outcome = await request.Settled.WaitAsync(cancellationToken);
        if (outcome.Failures.Count > 0)
        {
            throw new ServeException(otherwise, outcome.Failures);
        }
    }

    private static ServeConfig Read(ServeOptions options, ConfigSource source, ILogger logger)
    {
        if (options.Config is { } given)
        {
            return source.WithOwn(given);
        }

        ConfigResult read = source.Read();
        ConfigSource.TellWarnings(read, logger);
        if (!read.IsValid)
        {
            throw new ServeException($"{source.Path} has {read.Errors.Count} error(s), and nothing was changed.", [.. read.Errors.Select(e => e.ToString())]);
        }

        if (HostsKeys.In(read.Config, options) is { Count: > 0 } keys)
        {
            Log.ConfigWarning(logger, $"{source.Path}: {string.Join(", ", keys)} have no effect inside a host, which decides that itself; take them out");
        }

        return read.Config;
    }

    /// <summary>In memory, unless the file says where: a program that embeds a server does not expect it to write somewhere.</summary>
    private static GenerationStore OpenStore(ServeConfig config, string? path, ServeEnvironment environment)
    {
        ILogger logger = environment.Loggers.CreateLogger(LogCategories.Controller);
        return config.Controller.StateDir is { } chosen
            ? GenerationStore.OpenOrInMemory(StateDirectory.Resolve(chosen, path, static _ => null, home: null), environment.Time, logger)
            : GenerationStore.InMemory(environment.Time, logger);
    }
}
