using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>Every log message of the product, in one place: what is said, at which level, under which id.</summary>
internal static partial class Log
{
    /// <summary><paramref name="reason"/> is what the caller was told, word for word.</summary>
    [LoggerMessage(EventIds.RequestRefused, LogLevel.Warning, "{Reason}")]
    public static partial void RequestRefused(ILogger logger, string reason);

    [LoggerMessage(EventIds.RefusalsLeftOut, LogLevel.Warning, "{Count} more refusals by deployment '{Deployment}' in application '{Application}' were not logged in the last {Seconds:F1} s")]
    public static partial void RefusalsLeftOut(ILogger logger, long count, string deployment, string application, double seconds);
}
