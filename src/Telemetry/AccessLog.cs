using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>One line per handled request, through whatever logging the application has.</summary>
internal sealed class AccessLog(ILoggerFactory loggers, LiveLogSettings settings)
{
    private static readonly EventId RequestHandled = new(EventIds.RequestHandled, nameof(EventIds.RequestHandled));
    private static readonly Func<AccessLogEntry, Exception?, string> Format = static (entry, _) => entry.ToString();

    private readonly ILogger _logger = loggers.CreateLogger(LogCategories.AccessLog);

    /// <summary>Ask before measuring: switched off, the access log costs this one read.</summary>
    public bool IsEnabled => settings.MayAccessLog && settings.Current.AccessLog && _logger.IsEnabled(LogLevel.Information);

    /// <summary>Call where <see cref="IsEnabled"/>, while the request's scope still holds the request.</summary>
    public void Write(string method, string route, int statusCode, TimeSpan latency, RequestScope scope) =>
        _logger.Log(
            LogLevel.Information,
            RequestHandled,
            new AccessLogEntry(method, route, statusCode, latency, scope.RequestId, scope.Application, scope.Deployment, scope.Replica),
            null,
            Format);
}
