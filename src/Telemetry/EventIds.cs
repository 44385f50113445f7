namespace Serve.Embedded.Telemetry;

/// <summary>
/// The id of every log event, a thousand per room. An event's name is its member's name here and its method's name in
/// <see cref="Log"/>. An id that was shipped keeps its meaning: add, do not renumber.
/// </summary>
internal static class EventIds
{
    // Proxy: 1000
    public const int RequestHandled = 1000;
    public const int RequestFailed = 1001;
    public const int RequestBrokenOff = 1002;
    public const int RequestBodyBroken = 1003;
    public const int RequestRepeats = 1004;
    public const int WorkerFailed = 1005;
    public const int WorkerBrokeOff = 1006;
    public const int ConnectionsWait = 1007;
    public const int ResponseTimedOut = 1008;
    public const int ClientTooSlow = 1009;

    // Handles: 2000
    public const int RequestRefused = 2000;
    public const int RefusalsLeftOut = 2001;

    // Replicas: 3000
    public const int ReplicaStarted = 3000;
    public const int ReplicaStartFailed = 3001;
    public const int ReplicaCancels = 3002;
    public const int ReplicaAbandoned = 3003;
    public const int ReplicaDisposeFailed = 3004;
    public const int BatchesNeverFill = 3005;
    public const int WorkerGuardDied = 3100;
    public const int WorkerGuardMissing = 3101;
    public const int WorkerNotKilled = 3102;
    public const int WorkerRunsWithout = 3103;
    public const int WorkerRemainsNotFound = 3104;
    public const int WorkerGuardRuns = 3105;
    public const int WorkerSays = 3110;
    public const int WorkerStartFailed = 3120;

    // Controller: 4000
    public const int UserConfigRefused = 4000;
    public const int ApplicationRemoved = 4001;
    public const int RevisionFailed = 4002;
    public const int ReplicaUnhealthy = 4003;
    public const int HealthCheckFailed = 4004;
    public const int ReplicaStartsSlowly = 4005;
    public const int ControllerFailed = 4006;
    public const int NotTriedAgain = 4007;
    public const int RolloutReplaces = 4008;
    public const int ScalingTrouble = 4009;
    public const int ReplicaDied = 4010;
    public const int ReplicaWornOut = 4011;
    public const int HeldBack = 4012;
    public const int GenerationsInMemory = 4100;
    public const int GenerationsSaved = 4101;
    public const int GenerationSetAside = 4102;
    public const int GenerationFileIgnored = 4103;
    public const int GenerationWriteUnfinished = 4104;

    // Config: 5000
    public const int ConfigChanged = 5000;
    public const int ConfigNeedsRestart = 5001;
    public const int ConfigError = 5002;
    public const int ConfigWarning = 5003;

    // Hosting: 6000
    public const int ReloadRefused = 6000;
    public const int Reloaded = 6001;
    public const int DeployFailed = 6002;
    public const int Ready = 6003;
    public const int Stopping = 6004;
    public const int Stopped = 6005;
    public const int ShutdownDeadline = 6006;
    public const int FallsBack = 6007;
    public const int Resumes = 6009;
    public const int DoesNotResume = 6010;
    public const int ReloadFailed = 6011;
    public const int NoFallback = 6012;
    public const int Listening = 6020;
    public const int EmbeddedStarted = 6013;
    public const int EmbeddedStops = 6014;
    public const int SystemdNotTold = 6100;
    public const int WatchdogHeldBack = 6101;
    public const int SocketInherited = 6102;
    public const int SocketIgnored = 6103;

    // Admin: 7000
    public const int AdminRequestFailed = 7000;

    // Built-in applications: 8000
    public const int FaultyStarts = 8000;
}
