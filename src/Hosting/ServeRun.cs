using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>A server in the foreground, from its configuration to the signal that ends it.</summary>
internal sealed class ServeRun
{
    private static readonly TimeSpan LogFlushTime = TimeSpan.FromSeconds(2);

    private readonly ConfigSource _source;
    private readonly DeploymentRegistry _registry;
    private readonly TaskCompletionSource<string> _stop = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ReloadLoop _reloads;
    private Server? _server;
    private ILogger? _logger;

    public ServeRun(ConfigSource source, DeploymentRegistry registry)
    {
        _source = source;
        _registry = registry;
        _reloads = new(ReloadAsync);
    }

    /// <summary>Serves until a signal ends it. Returns the exit code: 0 = ended as asked, 1 = never started.</summary>
    /// <param name="error">For what goes wrong before there is a log.</param>
    /// <param name="log">Where log lines go.</param>
    /// <param name="exit">Ends the process at once, for a second signal.</param>
    public async Task<int> RunAsync(TextWriter error, Stream log, Action<int> exit)
    {
        // First of all: a signal that comes before the server is ready is remembered, not died of.
        using Signals signals = new(_reloads.Request, signal => _stop.TrySetResult(signal), exit);
        ConfigResult read = _source.Read();
        if (!read.IsValid)
        {
            await ConfigSource.WriteErrorsAsync(read, error);
            return 1;
        }

        LiveLogSettings settings = new(Server.SettingsOf(read.Config.Logging));
        using LogOutput output = new(log);
        using ServeLoggerProvider provider = new(output, settings, TimeProvider.System);
        using LoggerFactory loggers = new([provider], new LoggerFilterOptions { MinLevel = LogLevel.Trace });
        _logger = loggers.CreateLogger(LogCategories.Server);
        ServeEnvironment environment = new(TimeProvider.System, new SeededRandom(Seed()), ServeEnvironment.ResumeOnThreadPool, loggers);
        ApplyOutcome outcome;
        try
        {
            (_server, outcome) = await Server.StartAsync(read.Config, _registry, environment, settings);
        }
        catch (StartException exception)
        {
            await error.WriteLineAsync(exception.Message);
            return 1;
        }

        await using Server server = _server;
        provider.ProxyId = string.Join(",", server.Addresses.Select(a => new Uri(a).Authority));
        LogFailures(outcome);
        Log.Ready(_logger, string.Join(", ", server.Addresses), string.Join(", ", server.AdminAddresses));
        _started.SetResult();

        string signal = await _stop.Task;
        Log.Stopping(_logger, signal);
        await server.StopAsync();
        Log.Stopped(_logger);
        output.Close(LogFlushTime);
        return 0;
    }

    private static ulong Seed() => BitConverter.ToUInt64(System.Security.Cryptography.RandomNumberGenerator.GetBytes(sizeof(ulong)));

    private async Task ReloadAsync()
    {
        await _started.Task;
        ConfigResult read = _source.Read();
        if (!read.IsValid)
        {
            foreach (ConfigError configError in read.Errors)
            {
                Log.ConfigError(_logger!, configError.ToString());
            }

            Log.ReloadRefused(_logger!, _source.Path, read.Errors.Count);
            return;
        }

        int changes = ConfigDiff.Compare(_server!.Config, read.Config).Count;
        LogFailures(await _server.ApplyAsync(read.Config));
        Log.Reloaded(_logger!, _source.Path, changes);
    }

    private void LogFailures(ApplyOutcome outcome)
    {
        foreach (string failure in outcome.Failures)
        {
            Log.DeployFailed(_logger!, failure);
        }
    }
}
