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

    [LoggerMessage(EventIds.RequestFailed, LogLevel.Error, "The request failed: its handler threw. The client was answered 500")]
    public static partial void RequestFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventIds.RequestBrokenOff, LogLevel.Error, "The request failed after its response had begun: its handler threw. The connection was broken off")]
    public static partial void RequestBrokenOff(ILogger logger, Exception exception);

    [LoggerMessage(EventIds.ReplicaStarted, LogLevel.Information, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' runs")]
    public static partial void ReplicaStarted(ILogger logger, string replica, string deployment, string application);

    [LoggerMessage(EventIds.ReplicaStartFailed, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' failed to start")]
    public static partial void ReplicaStartFailed(ILogger logger, string replica, string deployment, string application, Exception exception);

    [LoggerMessage(EventIds.ReplicaCancels, LogLevel.Warning, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' still had {Ongoing} request(s) after its graceful_shutdown_timeout_s of {Seconds} s: they are cancelled")]
    public static partial void ReplicaCancels(ILogger logger, string replica, string deployment, string application, int ongoing, double seconds);

    [LoggerMessage(EventIds.ReplicaAbandoned, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' is abandoned: {Ongoing} request(s) ignore their cancellation and keep their threads until they end")]
    public static partial void ReplicaAbandoned(ILogger logger, string replica, string deployment, string application, int ongoing);

    [LoggerMessage(EventIds.ReplicaDisposeFailed, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' threw while its handler was disposed of")]
    public static partial void ReplicaDisposeFailed(ILogger logger, string replica, string deployment, string application, Exception exception);

    [LoggerMessage(EventIds.UserConfigRefused, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' refused the new user_config, so the one before stays: {Reason}")]
    public static partial void UserConfigRefused(ILogger logger, string replica, string deployment, string application, string reason);

    [LoggerMessage(EventIds.ApplicationRemoved, LogLevel.Information, "Application '{Application}' is removed: what it has admitted is answered, then its replicas end")]
    public static partial void ApplicationRemoved(ILogger logger, string application);

    [LoggerMessage(EventIds.RevisionFailed, LogLevel.Error, "Application '{Application}' could not go to {ImportPath} and stays with {Stays}: {Reason}")]
    public static partial void RevisionFailed(ILogger logger, string application, string importPath, string stays, string reason);
}
