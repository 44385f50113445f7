using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting.Systemd;

/// <summary>
/// Tells systemd how the server is doing (<c>Type=notify</c>), and feeds its watchdog. Without systemd it does nothing. A message that cannot be sent costs a line in the log, never more.
/// Safe for all threads.
/// </summary>
internal sealed class SystemdNotifier : IDisposable
{
    /// <summary>What the end needs beyond its own deadline.</summary>
    private static readonly TimeSpan StopMargin = TimeSpan.FromSeconds(5);

    /// <summary>systemd reads its socket at once, unless it is far gone; nobody waits longer for it.</summary>
    private static readonly TimeSpan SendTime = TimeSpan.FromSeconds(1);

    /// <summary>How far the status line may be behind.</summary>
    private static readonly TimeSpan StatusPeriod = TimeSpan.FromSeconds(2);

    private readonly string? _socket;
    private readonly TimeSpan? _watchdog;
    private readonly TimeProvider _time;
    private readonly PatientLogger _logger;
    private readonly Lock _lock = new();
    private Socket? _sender;
    private ITimer? _feeder;
    private ITimer? _statusTimer;
    private string? _lastStatus;
    private bool _isSilent;
    private bool _isHeldBack;
    private bool _isStopping;

    private SystemdNotifier(string? socket, TimeSpan? watchdog, TimeProvider time, ILogger logger)
    {
        _socket = socket;
        _watchdog = watchdog;
        _time = time;
        _logger = new(logger);
    }

    public bool IsActive => _socket is not null;

    /// <summary>How long systemd waits for a sign of life; <see langword="null"/> if it does not.</summary>
    public TimeSpan? Watchdog => _watchdog;

    /// <summary>Takes the variables of systemd's protocol out of the environment, so that no child process speaks for the server.</summary>
    /// <param name="get">Reads an environment variable.</param>
    /// <param name="unset">Removes one.</param>
    /// <param name="processId">The watchdog may be meant for another process.</param>
    /// <param name="time">Drives the watchdog, and must be the system's for what a reload tells.</param>
    /// <param name="logger">Told what cannot be sent.</param>
    public static SystemdNotifier FromEnvironment(Func<string, string?> get, Action<string> unset, int processId, TimeProvider time, ILogger logger)
    {
        string? socket = get("NOTIFY_SOCKET");
        TimeSpan? watchdog = WatchdogOf(get("WATCHDOG_USEC"), get("WATCHDOG_PID"), processId);
        unset("NOTIFY_SOCKET");
        unset("WATCHDOG_USEC");
        unset("WATCHDOG_PID");
        return string.IsNullOrEmpty(socket) ? new(null, null, time, logger) : new(socket, watchdog, time, logger);
    }

    /// <summary>Started, or done with a reload.</summary>
    public void Ready(string status)
    {
        _lastStatus = status;
        Send("READY=1", $"STATUS={OneLine(status)}");
    }

    /// <summary>Keeps the status line true from now on until the end begins: it is sent again when it has changed. Does nothing without systemd.</summary>
    public void StartStatus(Func<string> status)
    {
        if (IsActive)
        {
            lock (_lock)
            {
                _statusTimer ??= _time.CreateTimer(_ => SendIfNew(status()), null, StatusPeriod, StatusPeriod);
            }
        }
    }

    /// <summary>A reload begins; <see cref="Ready"/> ends it, whether it succeeded or not.</summary>
    public void Reloading(string status)
    {
        if (IsActive)
        {
            // CLOCK_MONOTONIC, which is what the timestamps of the system's clock are on Linux.
            double microseconds = _time.GetTimestamp() * (1_000_000.0 / _time.TimestampFrequency);
            Send("RELOADING=1", string.Create(CultureInfo.InvariantCulture, $"MONOTONIC_USEC={(long)microseconds}"), $"STATUS={OneLine(status)}");
        }
    }

    /// <summary>The end begins, and may take this long; so that <c>TimeoutStopSec</c> of the unit need not know the deadline in the configuration.</summary>
    public void Stopping(TimeSpan longest, string status)
    {
        lock (_lock)
        {
            _statusTimer?.Dispose();
            Send("STOPPING=1", string.Create(CultureInfo.InvariantCulture, $"EXTEND_TIMEOUT_USEC={Microseconds(longest + StopMargin)}"), $"STATUS={OneLine(status)}");
            _isStopping = true;
        }
    }

    /// <summary>A start takes this much longer from now; only before <see cref="Ready"/>.</summary>
    public void ExtendStart(TimeSpan by, string status) => Send(
        string.Create(CultureInfo.InvariantCulture, $"EXTEND_TIMEOUT_USEC={Microseconds(by)}"), $"STATUS={OneLine(status)}");

    /// <summary>One line for <c>systemctl status</c>.</summary>
    public void Status(string status) => Send($"STATUS={OneLine(status)}");

    /// <summary>Feeds the watchdog twice in its time for as long as the server answers for itself, until disposed of. Does nothing where systemd has none.</summary>
    /// <param name="isAlive">Asked each time, on a thread of the pool, so that a pool without free threads is noticed too.</param>
    public void StartWatchdog(Func<bool> isAlive)
    {
        if (_watchdog is not TimeSpan watchdog)
        {
            return;
        }

        lock (_lock)
        {
            _feeder ??= _time.CreateTimer(_ => Feed(isAlive, watchdog), null, TimeSpan.Zero, watchdog / 2);
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _feeder?.Dispose();
            _statusTimer?.Dispose();
            _sender?.Dispose();
        }
    }

    private void SendIfNew(string status)
    {
        lock (_lock)
        {
            // A timer that is disposed of may still be running.
            if (!_isStopping && status != _lastStatus)
            {
                _lastStatus = status;
                Status(status);
            }
        }
    }

    /// <summary>The watchdog's time, if it is set and ours to feed.</summary>
    private static TimeSpan? WatchdogOf(string? microseconds, string? pid, int processId)
    {
        bool isOurs = string.IsNullOrEmpty(pid) || pid == processId.ToString(CultureInfo.InvariantCulture);
        return isOurs && long.TryParse(microseconds, NumberStyles.None, CultureInfo.InvariantCulture, out long value) && value is > 0 and < (long)uint.MaxValue * 1000
            ? TimeSpan.FromMicroseconds(value)
            : null;
    }

    private static long Microseconds(TimeSpan span) => (long)Math.Min(span.TotalMicroseconds, long.MaxValue / 2);

    /// <summary>A line feed would begin another assignment.</summary>
    private static string OneLine(string text) => text.ReplaceLineEndings(" ");

    private void Feed(Func<bool> isAlive, TimeSpan watchdog)
    {
        if (isAlive())
        {
            _isHeldBack = false;
            Send("WATCHDOG=1");
        }
        else if (!_isHeldBack)
        {
            _isHeldBack = true;
            Log.WatchdogHeldBack(_logger, watchdog.TotalSeconds);
        }
    }

    private void Send(params ReadOnlySpan<string> assignments)
    {
        if (_socket is null)
        {
            return;
        }

        try
        {
            // An abstract name begins with a zero byte where systemd writes @.
            UnixDomainSocketEndPoint address = new(_socket[0] == '@' ? "\0" + _socket[1..] : _socket);
            byte[] message = Encoding.UTF8.GetBytes(string.Join('\n', assignments));
            Sender().SendTo(message, address);
            _isSilent = false;
        }
        catch (Exception exception) when (exception is SocketException or ArgumentException or PlatformNotSupportedException or IOException or ObjectDisposedException)
        {
            if (!_isSilent)
            {
                _isSilent = true;
                Log.SystemdNotTold(_logger, assignments[0], exception.Message);
            }
        }
    }

    /// <summary>Kept: when the process can have no more descriptors, its watchdog must be fed all the same, or systemd ends it.</summary>
    private Socket Sender()
    {
        lock (_lock)
        {
            return _sender ??= new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { SendTimeout = (int)SendTime.TotalMilliseconds };
        }
    }
}
