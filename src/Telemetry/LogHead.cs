using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>Who a logger's lines belong to.</summary>
internal enum LogComponent
{
    Proxy,
    Controller,

    /// <summary>The replica whose request is being handled; the server where there is none.</summary>
    Replica,
    Server,
}

/// <summary>What both forms of a log line say before they come to the message.</summary>
internal readonly ref struct LogHead(LogLevel level, DateTime time, LogComponent component, string componentId, RequestScope? scope)
{
    public DateTime Time => time;

    public LogComponent Component => component;

    public string ComponentId => componentId;

    public RequestScope? Scope => scope;

    /// <summary>Python's names, which is what readers of Ray Serve's logs look for.</summary>
    public ReadOnlySpan<byte> LevelName => level switch
    {
        LogLevel.Trace or LogLevel.Debug => "DEBUG"u8,
        LogLevel.Information => "INFO"u8,
        LogLevel.Warning => "WARNING"u8,
        LogLevel.Error => "ERROR"u8,
        _ => "CRITICAL"u8,
    };

    public ReadOnlySpan<byte> ComponentName => component switch
    {
        LogComponent.Proxy => "proxy"u8,
        LogComponent.Controller => "controller"u8,
        LogComponent.Replica => "replica"u8,
        _ => "server"u8,
    };
}
