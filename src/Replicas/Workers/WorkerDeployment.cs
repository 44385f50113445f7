using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>A replica that is a process: starts it, sends it requests, asks how it is, and stops it.</summary>
internal sealed class WorkerDeployment : IHttpDeployment, IPlainHandler, IHealthChecked, IReconfigurable, IReplicaProcess
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(200);

    private readonly WorkerSettings _settings;
    private readonly DeploymentContext _context;
    private readonly WorkerHost _host;
    private readonly WorkerWear _wear;
    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private WorkerAddress? _address;
    private WorkerProcess? _process;
    private WorkerConnections? _connections;

    /// <summary>Why it is not ready yet, while it starts.</summary>
    private string _trouble = "it does not accept connections";
    private bool _hasServed;
    private bool _isStopping;

    /// <summary>A connection was refused since its last check began, and that was told.</summary>
    private int _isDoubted;

    public WorkerDeployment(WorkerSettings settings, DeploymentContext context, WorkerHost host)
    {
        _settings = settings;
        _context = context;
        _host = host;
        _wear = new(settings, host.Time, host.Random);
    }

    /// <exception cref="WorkerFailedException">It has ended.</exception>
    private WorkerConnections Connections => _process!.Exited.IsCompleted
        ? throw new WorkerFailedException("The worker has ended.") { NothingSent = true, CanRepeat = true, WorkerIsGone = true }
        : _connections!;

    public Task<string> Ended => _ended.Task;

    public bool HasEnded => _process is { HasEnded: true };

    public bool HasServed => Volatile.Read(ref _hasServed);

    public Task<string> WornOut => _wear.IsOut;

    public Action? OnDoubt { get; set; }

    public TimeSpan? CheckTimeout { get; set; }

    public int? ProcessId => _process?.Id;

    public long? ResidentBytes => _process?.ResidentBytes;

    public IReadOnlyList<string> LastWords => _process?.ErrorTail ?? [];

    public IReadOnlyList<string> Refused => _process?.Refused ?? [];

    public async Task StartAsync(string? userConfig, CancellationToken cancellationToken)
    {
        if (_settings.BuildError is { } error)
        {
            PythonCode now = await _host.Importer.AgainAsync(_settings.FailedSource!).WaitAsync(cancellationToken);
            throw new BuildFailedException(now.Error ?? error);
        }

        WorkerAddress address = _address = WorkerAddress.For(_settings, _host);
        _process = WorkerProcess.Start(WorkerSurroundings.StartInfo(_settings, _context, address, _host, userConfig), _host.Guard, Say);
        foreach (string refused in _process.Refused)
        {
            Log.WorkerRunsWithout(_context.Logger, refused);
        }

        _ = WatchAsync(_process);
        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task ready = UntilReadyAsync(address, end.Token);
        Task first = await Task.WhenAny(ready, _process.Exited, Task.Delay(_settings.StartupTimeout, _host.Time, end.Token));
        await end.CancelAsync();
        await ready.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        if (first == _process.Exited)
        {
            WorkerExit exit = await _process.Exited;
            string hint = exit.ExitCode == 0 && !_settings.IsPython ? " It must stay in the foreground, and not go on as a daemon." : "";
            throw new WorkerStartException($"The worker ended before it answered: {exit}. Its command: {Text(_settings.Command)}.{hint}");
        }

        if (first != ready)
        {
            throw new WorkerStartException($"The worker was not ready within startup_timeout_s = {_settings.StartupTimeout.TotalSeconds}: {WhyNotReady(address)}");
        }

        await ready;
        _wear.Begin();
    }

    public ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken) => Connections.SendAsync(context.Features, cancellationToken);

    public ValueTask HandleAsync(IPlainClient client, CancellationToken cancellationToken) => Connections.SendAsync(client, cancellationToken);

    private void HasRefused()
    {
        if (Interlocked.Exchange(ref _isDoubted, 1) == 0)
        {
            OnDoubt?.Invoke();
        }
    }

    private void HasAnswered()
    {
        _hasServed = true;
        _wear.Served();
    }

    public async ValueTask CheckHealthAsync(CancellationToken cancellationToken)
    {
        // First: what is refused while the check runs is told, however the check ends.
        Volatile.Write(ref _isDoubted, 0);
        try
        {
            await AskAsync(_connections!, cancellationToken);
        }
        catch (WorkerFailedException failure) when (failure.ServerIsShort || (OnDoubt is not null && HasEnded))
        {
            // It is not held against the worker: another could not even be started, or its end is told as such when nothing is left of it. (While nobody is told of that yet, it is a start that has failed.)
            return;
        }

        _process!.IsWell();
        _wear.Uses(_process.ResidentBytes);
    }

    public async ValueTask ReconfigureAsync(JsonElement userConfig, CancellationToken cancellationToken)
    {
        if (_settings.ReconfigurePath is not { } path)
        {
            throw new InvalidOperationException("The worker takes no new user_config while it runs: no reconfigure_path is set.");
        }

        WorkerAnswer answer = await _connections!.PostAsync(path, Encoding.UTF8.GetBytes(userConfig.GetRawText()), cancellationToken);
        if (!answer.IsGood)
        {
            throw new InvalidOperationException($"The worker answered {answer.StatusCode} to POST {path}: {FirstLine(answer.Body)}");
        }
    }

    public void LimitIs(int maxOngoingRequests)
    {
        if (_settings.IsPython && _connections is { } connections)
        {
            _ = TellLimitAsync(connections, maxOngoingRequests);
        }
    }

    public async Task StopAsync(TimeSpan grace)
    {
        Volatile.Write(ref _isStopping, true);
        if (_process is not null)
        {
            await _process.StopAsync(grace);
        }

        _connections?.Dispose();
        _wear.Dispose();

        // Once: a port that is given back is soon another worker's.
        Interlocked.Exchange(ref _address, null)?.Dispose();
    }

    private async Task WatchAsync(WorkerProcess process)
    {
        WorkerExit exit = await process.Exited;
        if (!Volatile.Read(ref _isStopping))
        {
            _ended.TrySetResult(exit.ToString());
        }
    }

    /// <summary>A class of Python listens when it is constructed: that it cannot be reached says nothing else.</summary>
    private string WhyNotReady(WorkerAddress address) => (_settings.IsPython, _connections) switch
    {
        (true, null) => "its module is still being imported, or its constructor or reconfigure still runs. Raise startup_timeout_s if that takes so long.",
        (true, _) => "its first check_health still runs. Raise startup_timeout_s if that takes so long.",
        _ => $"{_trouble.TrimEnd('.')}. It must speak HTTP/1.1 on {address}.",
    };

    /// <summary>Asks it, less and less often, until it is well.</summary>
    private async Task UntilReadyAsync(WorkerAddress address, CancellationToken cancellationToken)
    {
        for (TimeSpan pause = FirstPause; ; pause = pause < LongestPause ? pause * 1.5 : pause)
        {
            try
            {
                if (_connections is null)
                {
                    _connections = await address.ConnectAsync(_settings.IsPython ? _host.ControlToken : null, HasAnswered, HasRefused, cancellationToken);
                    _trouble = $"it took a connection at {_connections.EndPoint}, and has not answered GET {_settings.HealthCheckPath}";
                }

                await AskAsync(_connections, cancellationToken);
                return;
            }
            catch (UnwellException exception) when (_settings.IsPython)
            {
                // A class is constructed before it is asked: there is nothing to wait for, and what it says is its answer.
                throw new WorkerStartException($"Its first check_health failed: {exception.Message}");
            }
            catch (Exception exception) when (exception is WorkerFailedException or UnwellException)
            {
                _trouble = exception.Message;
            }

            await Task.Delay(pause, _host.Time, cancellationToken);
        }
    }

    /// <exception cref="UnwellException">It answers, and says that it is not well.</exception>
    /// <exception cref="WorkerFailedException">It does not answer.</exception>
    private async Task AskAsync(WorkerConnections connections, CancellationToken cancellationToken)
    {
        if (_settings.HealthCheckPath is not { } path)
        {
            await connections.ConnectAsync(cancellationToken);
            return;
        }

        // The host of Python finds out itself which handlers hang: their requests have ended, and nobody else knows of them.
        string asked = _settings.IsPython && CheckTimeout is { } timeout ? string.Create(CultureInfo.InvariantCulture, $"{path}?{PythonHost.TimeoutParameter}={timeout.TotalSeconds}") : path;
        WorkerAnswer answer = await connections.GetAsync(asked, cancellationToken);
        if (!answer.IsGood)
        {
            throw new UnwellException(_settings.IsPython ? FirstLine(answer.Body) : $"GET {path} answered {answer.StatusCode}: {FirstLine(answer.Body)}");
        }
    }

    private static async Task TellLimitAsync(WorkerConnections connections, int limit)
    {
        try
        {
            await connections.PostAsync(PythonHost.LimitsPath, Encoding.UTF8.GetBytes($$"""{"max_ongoing_requests":{{limit}}}"""), CancellationToken.None);
        }
        catch (WorkerFailedException)
        {
            // Then it is on its way out, and so is its limit.
        }
    }

    private void Say(WorkerLine line) => Log.WorkerSays(_context.Logger, line.Level, line.Text);

    private static string FirstLine(string text) => text.AsSpan().Trim() is { Length: > 0 } trimmed ? trimmed[..(trimmed.IndexOf('\n') is >= 0 and int end ? end : trimmed.Length)].TrimEnd().ToString() : "(no text)";

    private static string Text(IEnumerable<string> command) => string.Join(' ', command.Select(a => a.Contains(' ', StringComparison.Ordinal) || a.Length == 0 ? $"'{a}'" : a));

    /// <summary>A worker that says itself that it is not well.</summary>
    private sealed class UnwellException(string message) : Exception(message);
}
