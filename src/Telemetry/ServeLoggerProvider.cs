using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// Writes log records in the contract's two forms into a <see cref="LogOutput"/>, which stays its owner's to close:
/// it is closed last, after everything that may still log. The factory that this is added to must let every level
/// through; <see cref="LogSettings.MinimumLevel"/> decides, and changes while the server runs.
/// </summary>
[ProviderAlias("Serve")]
internal sealed class ServeLoggerProvider : ILoggerProvider
{
    private static readonly string ProcessId = Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private readonly LogOutput _output;
    private readonly LiveLogSettings _settings;
    private readonly TimeProvider _time;
    private volatile string _proxyId = "-";

    public ServeLoggerProvider(LogOutput output, LiveLogSettings settings, TimeProvider time)
    {
        _output = output;
        _settings = settings;
        _time = time;
        output.NoticeFormat = FormatNotice;
    }

    /// <summary>The proxy's address, known once it is bound.</summary>
    public string ProxyId
    {
        get => _proxyId;
        set => _proxyId = value;
    }

    public LogSettings Settings => _settings.Current;

    public ILogger CreateLogger(string categoryName) => new ServeLogger(this, categoryName);

    public void Dispose()
    {
    }

    public LogHead Head(LogLevel level, LogComponent component)
    {
        RequestScope? scope = RequestScope.Current;
        if (component == LogComponent.Replica && scope?.Deployment is null)
        {
            component = LogComponent.Server;
        }

        string id = component switch
        {
            LogComponent.Proxy => _proxyId,
            LogComponent.Replica => scope!.Replica ?? "-",
            _ => ProcessId,
        };
        return new LogHead(level, _time.GetLocalNow().DateTime, component, id, scope, _settings.ForJournal);
    }

    public void Write(LineBuffer line, bool isAccess = false) => _output.Write(line.Written, isAccess);

    private byte[] FormatNotice(string notice)
    {
        LogLine line = LogLine.Rent();
        LogHead head = Head(LogLevel.Warning, LogComponent.Server);
        if (_settings.Current.Json)
        {
            line.Json.Write(head, notice, null, null);
        }
        else
        {
            TextLogLine.Write(line.Buffer, head, notice, null);
        }

        byte[] bytes = line.Buffer.Written.ToArray();
        line.Return();
        return bytes;
    }
}
