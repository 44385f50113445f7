using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Deployments;
using Serve.Embedded.Hosting.Systemd;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>What a server starts with.</summary>
/// <param name="Resume">The last good generation, and not the file.</param>
/// <param name="Fallback">The last good generation if the file is broken, or valid but does not come up.</param>
internal sealed record BootOptions(bool Resume = false, bool Fallback = false);

/// <summary>A server in the foreground, from its configuration to the signal that ends it.</summary>
internal sealed class ServeRun
{
    private static readonly TimeSpan LogFlushTime = TimeSpan.FromSeconds(2);

    private readonly ConfigSource _source;
    private readonly DeploymentRegistry _registry;
    private readonly BootOptions _boot;
    private readonly Func<string, string?> _environment;
    private readonly TaskCompletionSource<string> _stop = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ReloadLoop _reloads;
    private Server? _server;
    private Deployer? _deployer;
    private SystemdNotifier? _systemd;
    private ILogger? _logger;

    public ServeRun(ConfigSource source, DeploymentRegistry registry, BootOptions boot, Func<string, string?> environment)
    {
        _source = source;
        _registry = registry;
        _boot = boot;
        _environment = environment;
        _reloads = new(ReloadAsync, exception => Log.ReloadFailed(_logger!, exception));
    }

    /// <summary>Serves until a signal ends it. Returns the exit code: 0 = ended as asked, 1 = never started.</summary>
    /// <param name="error">For what goes wrong before there is a log.</param>
    /// <param name="log">Where log lines go.</param>
    /// <param name="exit">Ends the process at once, for a second signal.</param>
    public async Task<int> RunAsync(TextWriter error, Stream log, Action<int> exit)
    {
        // First of all: a signal that comes before the server is ready is remembered, not died of.
        using Signals signals = new(_reloads.Request, signal => _stop.TrySetResult(signal), exit);
        ConfigResult file = _source.Read();
        LiveLogSettings settings = new(file.IsValid ? Server.SettingsOf(file.Config.Logging) : new()) { ForJournal = JournalStream.IsStandardError(_environment) };
        using LogOutput output = new(log);
        using ServeLoggerProvider provider = new(output, settings, TimeProvider.System);
        using LoggerFactory loggers = new([provider], new LoggerFilterOptions { MinLevel = LogLevel.Trace });
        _logger = loggers.CreateLogger(LogCategories.Server);
        using GenerationStore store = OpenStore(file.StateDir, loggers.CreateLogger(LogCategories.Controller));
        BootGoal goal = BootGoal.Choose(file, store, _boot, _source.Catalog);
        if (goal.Config is not { } config)
        {
            await ConfigSource.WriteErrorsAsync(file, error);
            if (goal.WhyNoGeneration is { } why)
            {
                await error.WriteLineAsync(why);
            }

            return 1;
        }

        Tell(goal);
        ConfigSource.TellWarnings(file, _logger);

        // A handler that somebody compiled in may block. Ours do not.
        bool onEventThreads = _registry.IsOnlyBuiltIn();
        ServeEnvironment environment = new(TimeProvider.System, SeededRandom.New(), onEventThreads ? EventLoops.Resume : ServeEnvironment.ResumeOnThreadPool, loggers, onEventThreads)
        {
            Telemetry = new(meters: null) { Log = output },
        };
        using ServeTelemetry telemetry = environment.Telemetry;
        using SystemdNotifier systemd = _systemd = SystemdNotifier.FromEnvironment(_environment, Unset, Environment.ProcessId, TimeProvider.System, _logger);
        Task<ApplyRequest> first;
        try
        {
            using InheritedSockets sockets = InheritedSockets.FromEnvironment(_environment, Unset, Environment.ProcessId, _logger);
            _server = await Server.CreateAsync(
                config, _registry, environment, settings, server => _deployer = new(server, _source, store, _logger, () => _stop.TrySetResult("The admin port's shutdown")), sockets, _source.Folder);
            first = await _deployer!.StartAsync(config, GenerationSource.File, goal.Generation?.Number);
        }
        catch (ServeException exception)
        {
            await error.WriteLineAsync(exception.Message);
            return 1;
        }

        await using Server server = _server;
        provider.ProxyId = string.Join(",", server.Addresses.Select(a => new Uri(a).Authority));
        Log.Listening(_logger, string.Join(", ", server.Addresses), string.Join(", ", server.AdminAddresses));
        Task ready = BootAsync(first, file, isGeneration: goal.Generation is not null);
        if (await Task.WhenAny(ready, _stop.Task) == ready)
        {
            await ready;
            Log.Ready(_logger, string.Join(", ", server.Addresses), string.Join(", ", server.AdminAddresses));
            systemd.Ready(Summary());
            systemd.StartStatus(Summary);
            systemd.StartWatchdog(() => server.IsAlive);
            _started.SetResult();
        }

        string signal = await _stop.Task;
        Log.Stopping(_logger, signal);
        systemd.Stopping(server.Grace, "Finishing what has arrived");
        await server.StopAsync();
        Log.Stopped(_logger);
        output.Close(LogFlushTime);
        return 0;
    }

    private static void Unset(string variable) => Environment.SetEnvironmentVariable(variable, null);

    private GenerationStore OpenStore(string? stateDir, ILogger logger)
    {
        string? home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return GenerationStore.OpenOrInMemory(StateDirectory.Resolve(stateDir, _source.Path, _environment, home), TimeProvider.System, logger);
    }

    private void Tell(BootGoal goal)
    {
        if (goal.WhyNoGeneration is { } why)
        {
            Log.DoesNotResume(_logger!, why, _source.Path is { } path ? $"{path} is served instead" : "The server starts with no applications");
        }
        else if (_boot.Resume)
        {
            Log.Resumes(_logger!, goal.Generation!.Number);
        }
    }

    private async Task BootAsync(Task<ApplyRequest> first, ConfigResult file, bool isGeneration)
    {
        ApplyOutcome outcome = await (await first).Settled;
        if (isGeneration && !_boot.Resume)
        {
            _deployer!.NoteFallback($"{_source.Path} has {file.Errors.Count} error(s), the first: {file.Errors[0]}");
        }
        else if (_boot.Fallback && outcome is { Failures.Count: > 0, IsStopped: false })
        {
            await _deployer!.FallBackAsync(outcome.Failures);
        }
    }

    private async Task ReloadAsync()
    {
        await _started.Task;
        if (_server!.IsDraining)
        {
            // It ends, as systemd and the log were told: nothing is read for that.
            return;
        }

        _systemd!.Reloading("Reading the configuration again");
        ConfigResult read = _source.Read();
        if (!read.IsValid)
        {
            _deployer!.NoteRefused();
            _source.TellRefused([.. read.Errors.Select(e => e.ToString())], _logger!);
        }
        else
        {
            ConfigSource.TellWarnings(read, _logger!);
            int changes = ConfigDiff.Compare(_server.Config, read.Config).Count;
            if ((await (await _deployer!.DeployAsync(read.Config, GenerationSource.Hangup)).Request.Settled).IsStopped)
            {
                return;
            }

            Log.Reloaded(_logger!, _source.Path ?? "no file", changes);
        }

        _systemd.Ready(Summary());
    }

    private string Summary() => StatusLine.Of(_server!.Status.Applications, _server.Addresses);
}
