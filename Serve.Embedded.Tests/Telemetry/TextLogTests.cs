using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;
using Xunit;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class TextLogTests : IDisposable
{
    private const string Time = "2026-11-23 10:19:47,123";

    private readonly LogCapture _log = new();

    public void Dispose() => _log.Dispose();

    [Fact]
    public void Log_WithoutARequest_HasNoRequestId()
    {
        _log.Logger(LogCategories.Proxy).LogInformation("listening");
        _log.Logger(LogCategories.Controller).LogWarning("scaling");
        _log.Logger(LogCategories.Server).LogError("no");
        _log.Logger("MyApp.Model").LogCritical("worse");
        _log.Logger("Microsoft.AspNetCore.Server.Kestrel").LogWarning("slow client");

        Assert.Equal(
            [
                $"INFO {Time} proxy 127.0.0.1:8000 -- listening",
                $"WARNING {Time} controller {LogCapture.ProcessId} -- scaling",
                $"ERROR {Time} server {LogCapture.ProcessId} -- no",
                $"CRITICAL {Time} server {LogCapture.ProcessId} -- worse",
                $"WARNING {Time} server {LogCapture.ProcessId} -- slow client",
            ],
            _log.Lines());
    }

    /// <summary>The journal takes each line for a record of its own, a line of a stack trace too.</summary>
    [Fact]
    public void Log_ForTheJournal_EachLineBeginsWithItsLevel()
    {
        using LogCapture log = new(forJournal: true);
        ILogger logger = log.Logger(LogCategories.Server);
        log.Settings.Current = log.Settings.Current with { MinimumLevel = LogLevel.Debug };
        logger.LogDebug("d");
        logger.LogInformation("i");
        logger.LogWarning("w");
        logger.LogError(new InvalidOperationException("broken\nin two"), "e");
        logger.LogCritical("c");

        string[] lines = log.Lines();

        string[] starts = ["<7>DEBUG ", "<6>INFO ", "<4>WARNING ", "<3>ERROR ", "<3>    System.InvalidOperationException: broken", "<3>    in two", "<2>CRITICAL "];
        Assert.Equal(starts.Length, lines.Length);
        Assert.All(lines.Zip(starts), pair => Assert.StartsWith(pair.Second, pair.First, StringComparison.Ordinal));
    }

    [Fact]
    public void Log_WithinARequest_IsTheReplicasWithTheRequestId()
    {
        new RequestScope { RequestId = "4f0c", Application = "default", Deployment = "Slow", Replica = "r1", Route = "/" }.Enter();
        _log.Logger("MyApp.Model").LogInformation("predicting");
        _log.Logger(LogCategories.Replica).LogInformation("run");
        _log.Logger(LogCategories.Proxy).LogInformation("routed");
        _log.Logger("Microsoft.AspNetCore.Server.Kestrel").LogWarning("slow client");
        _log.AccessLog.Write("GET", "/", 200, TimeSpan.FromMilliseconds(12.34), RequestScope.Current!);

        Assert.Equal(
            [
                $"INFO {Time} default_Slow r1 4f0c -- predicting",
                $"INFO {Time} default_Slow r1 4f0c -- run",
                $"INFO {Time} proxy 127.0.0.1:8000 4f0c -- routed",
                $"WARNING {Time} server {LogCapture.ProcessId} 4f0c -- slow client",
                $"INFO {Time} proxy 127.0.0.1:8000 4f0c -- GET / 200 12.3ms",
            ],
            _log.Lines());
    }

    [Theory]
    [InlineData(0, "0.0ms")]
    [InlineData(499, "0.0ms")]
    [InlineData(500, "0.1ms")]
    [InlineData(9_999_499, "999.9ms")]
    [InlineData(600_000_000_000, "60000000.0ms")]
    public void AccessLog_Latency_IsRoundedToTenths(long ticks, string expected)
    {
        _log.AccessLog.Write("GET", "/", 200, TimeSpan.FromTicks(ticks), new RequestScope());

        Assert.EndsWith($"GET / 200 {expected}", Assert.Single(_log.Lines()), StringComparison.Ordinal);
    }

    [Fact]
    public void Log_TextFromOutside_CannotForgeALine()
    {
        new RequestScope { RequestId = "id -- GET /admin 200 1.0ms\r\nINFO", Application = "a", Deployment = "d", Replica = "r" }.Enter();
        _log.Logger("MyApp").LogInformation("{Input}", "x\r\nINFO 2026 proxy -- \u001b[2J GET\u0085\u2028\u202e\0\t end");
        _log.AccessLog.Write("GET", "/a b\nc", 200, TimeSpan.Zero, RequestScope.Current!);

        string[] lines = _log.Lines();
        Assert.Equal(
            $@"INFO {Time} a_d r id\x20--\x20GET\x20/admin\x20200\x201.0ms\r\nINFO -- x\r\nINFO 2026 proxy -- \x1b[2J GET\x85\u2028\u202e\x00\t end",
            lines[0]);
        Assert.EndsWith(@"-- GET /a\x20b\nc 200 0.0ms", lines[1], StringComparison.Ordinal);
        Assert.Equal(2, lines.Length);
    }

    [Fact]
    public void Log_Exception_FollowsIndentedWhateverItsMessageHolds()
    {
        InvalidOperationException exception = Assert.Throws<InvalidOperationException>(
            void () => throw new InvalidOperationException("first\nINFO 2026 forged\rmore"));

        _log.Logger(LogCategories.Server).LogError(exception, "failed");

        string[] lines = _log.Lines();
        Assert.Equal($"ERROR {Time} server {LogCapture.ProcessId} -- failed", lines[0]);
        Assert.Equal("    System.InvalidOperationException: first", lines[1]);
        Assert.Equal("    INFO 2026 forged", lines[2]);
        Assert.Equal("    more", lines[3]);
        Assert.StartsWith("       at ", lines[4], StringComparison.Ordinal);
        Assert.All(lines.Skip(1), line => Assert.StartsWith("    ", line, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData('x')]
    [InlineData('ä')]
    [InlineData('漢')]
    [InlineData('\u0001')]
    [InlineData('\ud800')]
    public void Log_HugeMessage_IsCutAndMarked(char filler)
    {
        _log.Logger(LogCategories.Server).LogInformation("{Text}", new string(filler, 1_000_000));
        _log.Logger(LogCategories.Server).LogInformation("next");

        string[] lines = _log.Lines();
        Assert.Equal(2, lines.Length);
        Assert.EndsWith(" ... [truncated]", lines[0], StringComparison.Ordinal);
        Assert.InRange(System.Text.Encoding.UTF8.GetByteCount(lines[0]) + 1, LineBuffer.MaxLineBytes - 3, LineBuffer.MaxLineBytes);
    }

    [Fact]
    public void Log_ValueThatLogsWhileItIsFormatted_LeavesBothLinesWhole()
    {
        _log.Logger(LogCategories.Server).LogError(new LoggingException(_log.Logger("Inner")), "outer");

        string[] lines = _log.Lines();
        Assert.Equal([$"INFO {Time} server {LogCapture.ProcessId} -- inner", $"ERROR {Time} server {LogCapture.ProcessId} -- outer", "    text"], lines);
    }

    private sealed class LoggingException(ILogger logger) : Exception
    {
        public override string ToString()
        {
            logger.LogInformation("inner");
            return "text";
        }
    }
}
