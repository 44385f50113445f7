using System.Text;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Telemetry;

/// <summary>The product's log from a logger to its bytes, on the test's clock.</summary>
internal sealed class LogCapture : IDisposable
{
    private readonly MemoryStream _stream = new();
    private readonly ILoggerFactory _factory;

    /// <summary>A test may enter a scope and need not leave it.</summary>
    private readonly ExecutionContext _outside = ExecutionContext.Capture()!;

    public LogCapture(bool json = false, bool forJournal = false)
    {
        Output = new LogOutput(_stream);
        Settings = new LiveLogSettings(new LogSettings { Json = json }) { ForJournal = forJournal };
        Provider = new ServeLoggerProvider(Output, Settings, Clock) { ProxyId = "127.0.0.1:8000" };
        _factory = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Trace).AddProvider(Provider));
        AccessLog = new AccessLog(_factory, Settings);
    }

    public static string ProcessId { get; } = Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture);

    public ManualTimeProvider Clock { get; } = new()
    {
        Zone = TimeZoneInfo.CreateCustomTimeZone("test", TimeSpan.FromHours(2), "test", "test"),
    };

    public LogOutput Output { get; }

    public LiveLogSettings Settings { get; }

    public ServeLoggerProvider Provider { get; }

    public AccessLog AccessLog { get; }

    public ILogger Logger(string category) => _factory.CreateLogger(category);

    /// <summary>Ends the log and gives its lines; the text after the last line feed must be nothing.</summary>
    public string[] Lines()
    {
        Output.Close(TimeSpan.FromSeconds(30));
        string text = Encoding.UTF8.GetString(_stream.ToArray());
        return text.Length == 0 ? [] : text[..^1].Split('\n');
    }

    public void Dispose()
    {
        _factory.Dispose();
        Output.Dispose();
        ExecutionContext.Restore(_outside);
    }
}
