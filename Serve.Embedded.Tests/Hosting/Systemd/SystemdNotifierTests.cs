using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Hosting.Systemd;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Hosting.Systemd;

public sealed partial class SystemdNotifierTests : IDisposable
{
    private const int ProcessId = 4242;

    private readonly ManualTimeProvider _time = new();
    private readonly FakeLogger _logger = new();
    private readonly string _path = Path.Combine(Path.GetTempPath(), "serve-" + Guid.NewGuid().ToString("N")[..12]);
    private readonly Socket _receiver = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly Dictionary<string, string> _variables = [];

    public SystemdNotifierTests()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Skip("systemd is Linux's.");
        }

        _receiver.Bind(new UnixDomainSocketEndPoint(_path));
        _variables["NOTIFY_SOCKET"] = _path;
    }

    public void Dispose()
    {
        _receiver.Dispose();
        File.Delete(_path);
    }

    [Fact]
    public void Ready_TellsStateAndStatus()
    {
        using SystemdNotifier notifier = Notifier();

        notifier.Ready("Serving 1 application\non http://127.0.0.1:8000\r\nREADY=0");

        Assert.Equal("READY=1\nSTATUS=Serving 1 application on http://127.0.0.1:8000 READY=0", Received());
    }

    [Fact]
    public void Ready_OnAnAbstractSocket_Arrives()
    {
        string name = "serve-" + Guid.NewGuid().ToString("N");
        using Socket receiver = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        receiver.Bind(new UnixDomainSocketEndPoint("\0" + name));
        _variables["NOTIFY_SOCKET"] = "@" + name;
        using SystemdNotifier notifier = Notifier();

        notifier.Ready("up");

        Assert.Equal("READY=1\nSTATUS=up", Received(receiver));
    }

    [Fact]
    public void Reloading_TellsTheClocksMicroseconds()
    {
        using SystemdNotifier notifier = Notifier();
        long expected = _time.GetTimestamp() * 1_000_000 / _time.TimestampFrequency;

        notifier.Reloading("Reading config.toml");

        Assert.Equal($"RELOADING=1\nMONOTONIC_USEC={expected}\nSTATUS=Reading config.toml", Received());
    }

    /// <summary>systemd compares with its own CLOCK_MONOTONIC, so the system's clock must be that one.</summary>
    [Fact]
    public void Reloading_OnTheSystemsClock_IsClockMonotonic()
    {
        using SystemdNotifier notifier = SystemdNotifier.FromEnvironment(Get, Unset, ProcessId, TimeProvider.System, _logger);
        long before = Monotonic();

        notifier.Reloading("x");

        long told = long.Parse(Received().Split('\n')[1]["MONOTONIC_USEC=".Length..], System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(told, before, Monotonic());
    }

    [Fact]
    public void Stopping_AsksForTheTimeItMayTake()
    {
        using SystemdNotifier notifier = Notifier();

        notifier.Stopping(TimeSpan.FromSeconds(20), "Answering what has arrived");
        notifier.ExtendStart(TimeSpan.FromMilliseconds(1500), "Loading");
        notifier.Status("3 applications");

        Assert.Equal("STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\nSTATUS=Answering what has arrived", Received());
        Assert.Equal("EXTEND_TIMEOUT_USEC=1500000\nSTATUS=Loading", Received());
        Assert.Equal("STATUS=3 applications", Received());
    }

    [Fact]
    public void StartStatus_LineThatChanges_IsSentOnceAndNoMoreWhenTheEndHasBegun()
    {
        using SystemdNotifier notifier = Notifier();
        string status = "up";
        notifier.Ready(status);
        notifier.StartStatus(() => status);

        _time.Advance(TimeSpan.FromSeconds(10));
        status = "half";
        _time.Advance(TimeSpan.FromSeconds(10));
        notifier.Stopping(TimeSpan.Zero, "ending");
        status = "none";
        _time.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal(["READY=1\nSTATUS=up", "STATUS=half", "STOPPING=1\nEXTEND_TIMEOUT_USEC=5000000\nSTATUS=ending"], ReceivedAll());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("4242")]
    public void StartWatchdog_OursOrAnybodys_IsFedTwiceInItsTimeUntilTheEnd(string? pid)
    {
        Watchdog("10000000", pid);
        SystemdNotifier notifier = Notifier();
        notifier.StartWatchdog(() => true);

        _time.Advance(TimeSpan.FromSeconds(20));

        Assert.Equal(TimeSpan.FromSeconds(10), notifier.Watchdog);
        Assert.Equal(Enumerable.Repeat("WATCHDOG=1", 5), ReceivedAll());
        notifier.Dispose();
        _time.Advance(TimeSpan.FromSeconds(20));
        Assert.Empty(ReceivedAll());
    }

    [Theory]
    [InlineData("10000000", "1")]
    [InlineData("0", null)]
    [InlineData("-5", null)]
    [InlineData("soon", null)]
    [InlineData("99999999999999999999", null)]
    [InlineData(null, null)]
    public void StartWatchdog_NotOursOrNone_SendsNothing(string? microseconds, string? pid)
    {
        Watchdog(microseconds, pid);
        using SystemdNotifier notifier = Notifier();

        notifier.StartWatchdog(() => true);

        Assert.Null(notifier.Watchdog);
        Assert.Equal(0, _time.ArmedTimers);
    }

    [Fact]
    public void StartWatchdog_ServerThatDoesNotAnswerItself_IsNotFedAndSaysSoOnce()
    {
        Watchdog("10000000", null);
        bool alive = false;
        using SystemdNotifier notifier = Notifier();
        notifier.StartWatchdog(() => alive);

        _time.Advance(TimeSpan.FromSeconds(15));

        Assert.Empty(ReceivedAll());
        Assert.Equal([EventIds.WatchdogHeldBack], _logger.Collector.GetSnapshot().Select(r => r.Id.Id));
        alive = true;
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(["WATCHDOG=1"], ReceivedAll());
    }

    [Fact]
    public void FromEnvironment_TakesTheVariablesFromChildren()
    {
        Watchdog("10000000", "4242");
        _variables["HOME"] = "/root";

        Notifier().Dispose();

        Assert.Equal(["HOME"], _variables.Keys);
    }

    [Fact]
    public void Ready_WithoutSystemd_DoesNothing()
    {
        _variables.Clear();
        Watchdog("10000000", null);
        using SystemdNotifier notifier = Notifier();

        notifier.Ready("up");
        notifier.Reloading("again");
        notifier.StartWatchdog(() => true);

        Assert.False(notifier.IsActive);
        Assert.Equal(0, _time.ArmedTimers);
        Assert.Empty(_logger.Collector.GetSnapshot());
    }

    [Theory]
    [InlineData("/nowhere/at/all")]
    [InlineData("@nobody-listens-here")]
    [InlineData("vsock:2:1234")]
    [InlineData("/a-path-that-is-longer-than-any-socket-address-can-be/a-path-that-is-longer-than-any-socket-address-can-be/socket")]
    public void Ready_OnASocketThatIsNot_IsOneLineInTheLog(string socket)
    {
        _variables["NOTIFY_SOCKET"] = socket;
        using SystemdNotifier notifier = Notifier();

        notifier.Ready("up");
        notifier.Status("still up");

        Assert.Equal([EventIds.SystemdNotTold], _logger.Collector.GetSnapshot().Select(r => r.Id.Id));
    }

    private static long Monotonic()
    {
        Assert.Equal(0, ClockGetTime(1, out TimeSpec now));
        return (now.Seconds * 1_000_000) + (now.Nanoseconds / 1000);
    }

    private void Watchdog(string? microseconds, string? pid)
    {
        _variables.Remove("WATCHDOG_USEC");
        if (microseconds is not null)
        {
            _variables["WATCHDOG_USEC"] = microseconds;
        }

        if (pid is not null)
        {
            _variables["WATCHDOG_PID"] = pid;
        }
    }

    private SystemdNotifier Notifier() => SystemdNotifier.FromEnvironment(Get, Unset, ProcessId, _time, _logger);

    private string? Get(string name) => _variables.GetValueOrDefault(name);

    private void Unset(string name) => _variables.Remove(name);

    private string Received(Socket? receiver = null)
    {
        receiver ??= _receiver;
        Assert.True(receiver.Poll(0, SelectMode.SelectRead), "nothing has come");
        byte[] buffer = new byte[4096];
        return Encoding.UTF8.GetString(buffer, 0, receiver.Receive(buffer));
    }

    private List<string> ReceivedAll()
    {
        List<string> all = [];
        while (_receiver.Poll(0, SelectMode.SelectRead))
        {
            all.Add(Received());
        }

        return all;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, out TimeSpec time);
}
