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

    [LoggerMessage(EventIds.RequestRepeats, LogLevel.Information, "The request is sent again, to another replica if there is one. {Reason}")]
    public static partial void RequestRepeats(ILogger logger, string reason);

    [LoggerMessage(EventIds.WorkerFailed, LogLevel.Error, "The request was answered with {Status}. {Reason}")]
    public static partial void WorkerFailed(ILogger logger, int status, string reason);

    [LoggerMessage(EventIds.WorkerBrokeOff, LogLevel.Error, "The request failed after its response had begun, and the connection was broken off. {Reason}")]
    public static partial void WorkerBrokeOff(ILogger logger, string reason);

    [LoggerMessage(EventIds.ResponseTimedOut, LogLevel.Warning, "The request's time was over after its response had begun, and the connection was broken off: {Limit} = {Seconds} s")]
    public static partial void ResponseTimedOut(ILogger logger, string limit, double seconds);

    [LoggerMessage(EventIds.ClientTooSlow, LogLevel.Warning, "The client took its response too slowly, and the server broke the connection off: it is to take {Rate} bytes per second or more, after {Seconds} s of grace. No key of the configuration changes this")]
    public static partial void ClientTooSlow(ILogger logger, double rate, double seconds);

    [LoggerMessage(EventIds.ConnectionsWait, LogLevel.Warning, "New connections wait: {Reason}. Let the process have more (ulimit -n, LimitNOFILE=), or lower http_options.max_connections, beyond which they are refused. This is said at most once a minute")]
    public static partial void ConnectionsWait(ILogger logger, string reason);

    [LoggerMessage(EventIds.RequestBodyBroken, LogLevel.Information, "The client's request broke off after its response had begun, and so did the connection: {Reason}")]
    public static partial void RequestBodyBroken(ILogger logger, string reason);

    [LoggerMessage(EventIds.FaultyStarts, LogLevel.Information, "Version '{Version}' starts")]
    public static partial void FaultyStarts(ILogger logger, string version);

    [LoggerMessage(EventIds.ReplicaStarted, LogLevel.Information, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' runs")]
    public static partial void ReplicaStarted(ILogger logger, string replica, string deployment, string application);

    [LoggerMessage(EventIds.ReplicaStartFailed, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' failed to start")]
    public static partial void ReplicaStartFailed(ILogger logger, string replica, string deployment, string application, Exception exception);

    [LoggerMessage(EventIds.WorkerStartFailed, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' failed to start: {Reason}")]
    public static partial void WorkerStartFailed(ILogger logger, string replica, string deployment, string application, string reason);

    [LoggerMessage(EventIds.ReplicaCancels, LogLevel.Warning, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' still had {Ongoing} request(s) after its graceful_shutdown_timeout_s of {Seconds} s: they are cancelled")]
    public static partial void ReplicaCancels(ILogger logger, string replica, string deployment, string application, int ongoing, double seconds);

    [LoggerMessage(EventIds.ReplicaAbandoned, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' is abandoned: {Ongoing} request(s) ignore their cancellation and keep their threads until they end")]
    public static partial void ReplicaAbandoned(ILogger logger, string replica, string deployment, string application, int ongoing);

    [LoggerMessage(EventIds.ReplicaDisposeFailed, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' threw while its handler was disposed of")]
    public static partial void ReplicaDisposeFailed(ILogger logger, string replica, string deployment, string application, Exception exception);

    [LoggerMessage(EventIds.WorkerGuardDied, LogLevel.Warning, "The guard that ends the workers when this server is killed has died ({Exit}). Another takes over the {Workers} worker(s)")]
    public static partial void WorkerGuardDied(ILogger logger, string exit, int workers);

    [LoggerMessage(EventIds.WorkerGuardMissing, LogLevel.Error, "The guard that ends the workers when this server is killed cannot be started. {Reason}. Until it can, which is tried again and again, the workers run, but would outlive a server that is killed with SIGKILL")]
    public static partial void WorkerGuardMissing(ILogger logger, string reason);

    [LoggerMessage(EventIds.WorkerGuardRuns, LogLevel.Information, "The guard that ends the workers when this server is killed runs now, and watches over {Workers} worker(s)")]
    public static partial void WorkerGuardRuns(ILogger logger, int workers);

    [LoggerMessage(EventIds.WorkerRemainsNotFound, LogLevel.Error, "The worker process {ProcessId} has ended, and what is left of it cannot be looked for: {Reason}")]
    public static partial void WorkerRemainsNotFound(ILogger logger, int processId, string reason);

    [LoggerMessage(EventIds.WorkerNotKilled, LogLevel.Error, "The worker process {ProcessId} has not ended {Seconds} s after SIGKILL: it hangs in the kernel, most often on a disk or a device. It is left behind, and keeps what it holds")]
    public static partial void WorkerNotKilled(ILogger logger, int processId, double seconds);

    [LoggerMessage(EventIds.WorkerRunsWithout, LogLevel.Warning, "The worker runs without something that it was to have: {Refused}")]
    public static partial void WorkerRunsWithout(ILogger logger, string refused);

    [LoggerMessage(EventIds.UserConfigRefused, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' refused the new user_config, so the one before stays: {Reason}")]
    public static partial void UserConfigRefused(ILogger logger, string replica, string deployment, string application, string reason);

    [LoggerMessage(EventIds.ApplicationRemoved, LogLevel.Information, "Application '{Application}' is removed: what it has admitted is answered, then its replicas end")]
    public static partial void ApplicationRemoved(ILogger logger, string application);

    [LoggerMessage(EventIds.RevisionFailed, LogLevel.Error, "Application '{Application}' goes back to its last good configuration ({ImportPath}). It is not tried again until it changes, or is forced. {Reason}")]
    public static partial void RevisionFailed(ILogger logger, string application, string importPath, string reason);

    [LoggerMessage(EventIds.HealthCheckFailed, LogLevel.Warning, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' failed its health check, {Strikes} of {Most} in a row: {Error}")]
    public static partial void HealthCheckFailed(ILogger logger, string replica, string deployment, string application, int strikes, int most, string error);

    [LoggerMessage(EventIds.BatchesNeverFill, LogLevel.Warning, "Batches of deployment '{Deployment}' never fill: max_ongoing_requests = {MaxOngoingRequests} is less than MaxBatchSize x MaxConcurrentBatches = {MaxBatchSize} x {MaxConcurrentBatches}, and requests that wait in a batch are ongoing. Raise max_ongoing_requests, or lower MaxBatchSize")]
    public static partial void BatchesNeverFill(ILogger logger, string deployment, int maxOngoingRequests, int maxBatchSize, int maxConcurrentBatches);

    [LoggerMessage(EventId = EventIds.WorkerSays, Message = "{Line}")]
    public static partial void WorkerSays(ILogger logger, LogLevel level, string line);

    [LoggerMessage(EventIds.ReplicaDied, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' ended by itself: {Reason}. Another takes its place")]
    public static partial void ReplicaDied(ILogger logger, string replica, string deployment, string application, string reason);

    [LoggerMessage(EventIds.ReplicaWornOut, LogLevel.Information, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' is replaced: {Reason}")]
    public static partial void ReplicaWornOut(ILogger logger, string replica, string deployment, string application, string reason);

    [LoggerMessage(EventIds.HeldBack, LogLevel.Warning, "Deployment '{Deployment}' in application '{Application}': {Reason}")]
    public static partial void HeldBack(ILogger logger, string deployment, string application, string reason);

    [LoggerMessage(EventIds.ReplicaUnhealthy, LogLevel.Error, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' is unhealthy: it finishes what it has, and another takes its place")]
    public static partial void ReplicaUnhealthy(ILogger logger, string replica, string deployment, string application);

    [LoggerMessage(EventIds.ReplicaStartsSlowly, LogLevel.Warning, "Replica {Replica} of deployment '{Deployment}' in application '{Application}' has been starting for {Seconds:F0} s: its constructor, its first user_config or its first health check still runs")]
    public static partial void ReplicaStartsSlowly(ILogger logger, string replica, string deployment, string application, double seconds);

    [LoggerMessage(EventIds.ControllerFailed, LogLevel.Critical, "The controller failed while it worked on application '{Application}', and goes on. This is a fault of the server: please report it")]
    public static partial void ControllerFailed(ILogger logger, string application, Exception exception);

    [LoggerMessage(EventIds.NotTriedAgain, LogLevel.Warning, "Application '{Application}' is not tried again: its configuration has not changed since it failed. Change it, or force it. {Reason}")]
    public static partial void NotTriedAgain(ILogger logger, string application, string reason);

    /// <summary><paramref name="trouble"/> is what status says too, word for word.</summary>
    [LoggerMessage(EventIds.GenerationsInMemory, LogLevel.Warning, "{Trouble}")]
    public static partial void GenerationsInMemory(ILogger logger, string trouble);

    [LoggerMessage(EventIds.GenerationsSaved, LogLevel.Information, "All generations are in {Folder} again")]
    public static partial void GenerationsSaved(ILogger logger, string folder);

    [LoggerMessage(EventIds.GenerationSetAside, LogLevel.Warning, "The generation in {File} cannot be used: {Wrong}. The file is kept as {Aside}; delete it when you have seen it")]
    public static partial void GenerationSetAside(ILogger logger, string file, string wrong, string aside);

    [LoggerMessage(EventIds.GenerationFileIgnored, LogLevel.Warning, "{File} is left alone and not used: {Reason}")]
    public static partial void GenerationFileIgnored(ILogger logger, string file, string reason);

    [LoggerMessage(EventIds.GenerationWriteUnfinished, LogLevel.Information, "{File} is what an interrupted write left; the generation before it is whole")]
    public static partial void GenerationWriteUnfinished(ILogger logger, string file);

    [LoggerMessage(EventIds.RolloutReplaces, LogLevel.Warning, "The box has no room for the rollout of deployment '{Deployment}' in application '{Application}'. {Reason}")]
    public static partial void RolloutReplaces(ILogger logger, string deployment, string application, string reason);

    [LoggerMessage(EventIds.ScalingTrouble, LogLevel.Error, "Deployment '{Deployment}' in application '{Application}' cannot be scaled as its policy says. {Reason}")]
    public static partial void ScalingTrouble(ILogger logger, string deployment, string application, string reason);

    [LoggerMessage(EventIds.ConfigChanged, LogLevel.Information, "Changed {Change} ({Update})")]
    public static partial void ConfigChanged(ILogger logger, string change, string update);

    [LoggerMessage(EventIds.ConfigNeedsRestart, LogLevel.Warning, "Not changed {Change}: it takes effect when the server is started again")]
    public static partial void ConfigNeedsRestart(ILogger logger, string change);

    [LoggerMessage(EventIds.ConfigError, LogLevel.Error, "{Error}")]
    public static partial void ConfigError(ILogger logger, string error);

    [LoggerMessage(EventIds.ConfigWarning, LogLevel.Warning, "{Warning}")]
    public static partial void ConfigWarning(ILogger logger, string warning);

    [LoggerMessage(EventIds.ReloadRefused, LogLevel.Error, "Reload refused: {Path} has {Count} error(s), so nothing was changed. Mend them and reload again")]
    public static partial void ReloadRefused(ILogger logger, string path, int count);

    [LoggerMessage(EventIds.Reloaded, LogLevel.Information, "Reloaded {Path}: {Count} change(s)")]
    public static partial void Reloaded(ILogger logger, string path, int count);

    [LoggerMessage(EventIds.DeployFailed, LogLevel.Error, "{Reason}")]
    public static partial void DeployFailed(ILogger logger, string reason);

    [LoggerMessage(EventIds.Listening, LogLevel.Information, "Listening on {Addresses}, admin on {AdminAddresses} (who comes before an application is up waits for it)")]
    public static partial void Listening(ILogger logger, string addresses, string adminAddresses);

    [LoggerMessage(EventIds.Ready, LogLevel.Information, "Ready: serving on {Addresses}, admin on {AdminAddresses}")]
    public static partial void Ready(ILogger logger, string addresses, string adminAddresses);

    [LoggerMessage(EventIds.EmbeddedStarted, LogLevel.Information, "The embedded server has started: {Count} application(s), from {Source}")]
    public static partial void EmbeddedStarted(ILogger logger, int count, string source);

    [LoggerMessage(EventIds.EmbeddedStops, LogLevel.Information, "The embedded server finishes what it has admitted, then ends")]
    public static partial void EmbeddedStops(ILogger logger);

    [LoggerMessage(EventIds.Stopping, LogLevel.Information, "{Signal}: finishing what has arrived, then ending. A second signal ends at once")]
    public static partial void Stopping(ILogger logger, string signal);

    [LoggerMessage(EventIds.Stopped, LogLevel.Information, "Stopped")]
    public static partial void Stopped(ILogger logger);

    [LoggerMessage(EventIds.ShutdownDeadline, LogLevel.Error, "Not everything had ended within {Seconds} s, the longest graceful_shutdown_timeout_s: it is cut off")]
    public static partial void ShutdownDeadline(ILogger logger, string seconds);

    [LoggerMessage(EventIds.SystemdNotTold, LogLevel.Warning, "systemd cannot be told {Message}: {Reason}. The server goes on, but systemd may take it for hung or not started; check NOTIFY_SOCKET and NotifyAccess in the unit. Further failures are not logged until one message arrives")]
    public static partial void SystemdNotTold(ILogger logger, string message, string reason);

    [LoggerMessage(EventIds.WatchdogHeldBack, LogLevel.Error, "The server does not answer itself, so systemd's watchdog is not fed: systemd will end and restart it after {Seconds:F1} s of this")]
    public static partial void WatchdogHeldBack(ILogger logger, double seconds);

    [LoggerMessage(EventIds.SocketInherited, LogLevel.Information, "systemd handed over {Address} for the {Port} port: host and port of the configuration are not used for it")]
    public static partial void SocketInherited(ILogger logger, string address, string port);

    [LoggerMessage(EventIds.SocketIgnored, LogLevel.Warning, "The socket that systemd handed over as descriptor {Descriptor} ('{Name}') is not used and closed: {Reason}. Name it http or admin with FileDescriptorName= in its .socket unit")]
    public static partial void SocketIgnored(ILogger logger, int descriptor, string name, string reason);

    [LoggerMessage(EventIds.NoFallback, LogLevel.Error, "{Reason} --fallback finds nothing to fall back to. {Why}")]
    public static partial void NoFallback(ILogger logger, string reason, string why);

    [LoggerMessage(EventIds.ReloadFailed, LogLevel.Critical, "The reload failed; what runs goes on, and the next SIGHUP tries again. This is a fault of the server: please report it")]
    public static partial void ReloadFailed(ILogger logger, Exception exception);

    [LoggerMessage(EventIds.FallsBack, LogLevel.Critical, "Falls back to generation {Generation}, the last that was good, because the configuration cannot be served: {Reason} Mend the file and send SIGHUP")]
    public static partial void FallsBack(ILogger logger, int generation, string reason);

    [LoggerMessage(EventIds.Resumes, LogLevel.Information, "Resumes generation {Generation}, the last that was good, and not the file")]
    public static partial void Resumes(ILogger logger, int generation);

    [LoggerMessage(EventIds.DoesNotResume, LogLevel.Warning, "--resume finds nothing to resume. {Why} {Instead}")]
    public static partial void DoesNotResume(ILogger logger, string why, string instead);

    [LoggerMessage(EventIds.AdminRequestFailed, LogLevel.Error, "The admin request {Method} {Path} failed")]
    public static partial void AdminRequestFailed(ILogger logger, string method, string path, Exception exception);
}
