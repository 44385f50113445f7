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
internal readonly ref struct LogHead(LogLevel level, DateTime time, LogComponent component, string componentId, RequestScope? scope, bool forJournal = false)
{
    public DateTime Time => time;

    public LogComponent Component => component;

    public string ComponentId => componentId;

    public RequestScope? Scope => scope;

    /// <summary>What every line begins with, those of a stack trace too: for the journal the level as it has it, which it takes off again (sd-daemon(3)); else nothing.</summary>
    public ReadOnlySpan<byte> LineStart => !forJournal ? default : level switch
    {
        LogLevel.Trace or LogLevel.Debug => "<7>"u8,
        LogLevel.Information => "<6>"u8,
        LogLevel.Warning => "<4>"u8,
        LogLevel.Error => "<3>"u8,
        _ => "<2>"u8,
    };

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
