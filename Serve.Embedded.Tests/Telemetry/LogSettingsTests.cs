using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Telemetry;
using Xunit;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class LogSettingsTests : IDisposable
{
    private readonly LogCapture _log = new();

    public void Dispose() => _log.Dispose();

    [Fact]
    public void Current_Replaced_AppliesToTheNextLineOfEveryLogger()
    {
        ILogger logger = _log.Logger("MyApp");
        logger.LogInformation("text");
        _log.Settings.Current = new LogSettings { Json = true, MinimumLevel = LogLevel.Warning };
        logger.LogInformation("left out");
        logger.LogWarning("json");
        _log.Settings.Current = new LogSettings { MinimumLevel = LogLevel.Debug };
        logger.LogTrace("left out");
        logger.LogDebug("debug");

        string[] lines = _log.Lines();
        Assert.Equal(3, lines.Length);
        Assert.StartsWith("INFO ", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("{\"levelname\":\"WARNING\"", lines[1], StringComparison.Ordinal);
        Assert.StartsWith("DEBUG ", lines[2], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(LogLevel.Debug, LogLevel.Information, true)]
    [InlineData(LogLevel.Information, LogLevel.Information, false)]
    [InlineData(LogLevel.Information, LogLevel.Warning, true)]
    [InlineData(LogLevel.Error, LogLevel.Warning, false)]
    [InlineData(LogLevel.Trace, LogLevel.None, false)]
    public void IsEnabled_Framework_IsWarningsUnlessDebugging(LogLevel minimum, LogLevel level, bool expected)
    {
        _log.Settings.Current = new LogSettings { MinimumLevel = minimum };

        Assert.Equal(expected, _log.Provider.CreateLogger("Microsoft.AspNetCore.Routing").IsEnabled(level));
    }

    [Fact]
    public void AccessLog_SwitchedOff_IsOffWhileOtherLinesGoOn()
    {
        _log.Settings.Current = new LogSettings { AccessLog = false };
        Assert.False(_log.AccessLog.IsEnabled);
        _log.AccessLog.Write("GET", "/", 200, TimeSpan.Zero, new RequestScope());
        _log.Logger(LogCategories.Proxy).LogInformation("line");

        _log.Settings.Current = new LogSettings();
        Assert.True(_log.AccessLog.IsEnabled);
        Assert.Single(_log.Lines());
    }

    [Fact]
    public void AccessLog_MinimumLevelAboveInformation_IsOff()
    {
        _log.Settings.Current = new LogSettings { MinimumLevel = LogLevel.Warning };

        Assert.False(_log.AccessLog.IsEnabled);
    }

    [Fact]
    public void AccessLog_AnotherProvider_GetsTheLineAndItsParts()
    {
        using FakeLoggerProvider host = new();
        using ILoggerFactory factory = LoggerFactory.Create(logging => logging.AddProvider(host));
        LiveLogSettings settings = new(new LogSettings());
        AccessLog access = new(factory, settings);
        RequestScope scope = new() { RequestId = "4f0c", Application = "default" };

        access.Write("GET", "/", 503, TimeSpan.FromMilliseconds(1), scope);

        FakeLogRecord record = host.Collector.LatestRecord;
        Assert.Equal("GET / 503 1.0ms", record.Message);
        Assert.Equal(LogCategories.AccessLog, record.Category);
        Assert.Equal(EventIds.RequestHandled, record.Id.Id);
        Assert.Equal("503", record.GetStructuredStateValue("StatusCode"));
        Assert.Equal("4f0c", record.GetStructuredStateValue("RequestId"));
        settings.Current = new LogSettings { AccessLog = false };
        Assert.False(access.IsEnabled);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AccessLog_SteadyState_AllocatesNothing(bool json)
    {
        _log.Settings.Current = new LogSettings { Json = json };
        RequestScope scope = new() { RequestId = "4f0c", Application = "default", Deployment = "Slow", Replica = "r1", Route = "/" };
        scope.Enter();

        Assert.Equal(0, Allocations.Of(() => Write(1000)));

        void Write(int lines)
        {
            for (int i = 0; i < lines; i++)
            {
                if (_log.AccessLog.IsEnabled)
                {
                    _log.AccessLog.Write("GET", "/", 200, TimeSpan.FromMilliseconds(i), scope);
                }
            }
        }
    }
}
