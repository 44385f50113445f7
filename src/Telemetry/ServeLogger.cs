using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>One category's road into the log.</summary>
internal sealed class ServeLogger : ILogger
{
    private readonly ServeLoggerProvider _provider;
    private readonly LogComponent _component;
    private readonly bool _isAccessLog;
    private readonly bool _isFramework;

    public ServeLogger(ServeLoggerProvider provider, string category)
    {
        _provider = provider;
        _component = ComponentOf(category);
        _isAccessLog = category == LogCategories.AccessLog;
        _isFramework = IsOrIsUnder(category, "Microsoft");
    }

    public bool IsEnabled(LogLevel logLevel)
    {
        LogSettings settings = _provider.Settings;
        return logLevel >= settings.MinimumLevel
            && logLevel != LogLevel.None
            && (!_isFramework || logLevel >= LogLevel.Warning || settings.MinimumLevel <= LogLevel.Debug)
            && (!_isAccessLog || settings.AccessLog);
    }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel))
        {
            return;
        }

        if (typeof(TState) == typeof(AccessLogEntry))
        {
            WriteAccess(logLevel, Unsafe.As<TState, AccessLogEntry>(ref state));
            return;
        }

        // The caller's code runs before a line is rented; what it throws is the caller's.
        string message = formatter(state, exception) ?? "";
        LogHead head = _provider.Head(logLevel, _component);
        LogLine line = LogLine.Rent();
        if (_provider.Settings.Json)
        {
            line.Json.Write(head, message, exception, state as IReadOnlyList<KeyValuePair<string, object?>>);
        }
        else
        {
            TextLogLine.Write(line.Buffer, head, message, exception);
        }

        _provider.Write(line.Buffer);
        line.Return();
    }

    /// <summary>Ambient values travel in <see cref="RequestScope"/>.</summary>
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    private void WriteAccess(LogLevel level, in AccessLogEntry entry)
    {
        LogHead head = _provider.Head(level, _component);
        LogLine line = LogLine.Rent();
        if (_provider.Settings.Json)
        {
            line.Json.Write(head, entry);
        }
        else
        {
            TextLogLine.Write(line.Buffer, head, entry);
        }

        _provider.Write(line.Buffer, isAccess: true);
        line.Return();
    }

    private static LogComponent ComponentOf(string category) =>
        IsOrIsUnder(category, LogCategories.Proxy) ? LogComponent.Proxy
        : IsOrIsUnder(category, LogCategories.Controller) ? LogComponent.Controller
        : IsOrIsUnder(category, LogCategories.Server) || IsOrIsUnder(category, "Microsoft.AspNetCore") || IsOrIsUnder(category, "Microsoft.Hosting") ? LogComponent.Server
        : LogComponent.Replica;

    private static bool IsOrIsUnder(string category, string parent) =>
        category.StartsWith(parent, StringComparison.Ordinal) && (category.Length == parent.Length || category[parent.Length] == '.');
}
