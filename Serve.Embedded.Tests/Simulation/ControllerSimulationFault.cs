namespace Serve.Embedded.Tests.Simulation;

/// <summary>What must be true after every event.</summary>
internal enum Invariant
{
    /// <summary>Every request ends exactly once, and the counters say so.</summary>
    NoneLostOrRepeated,

    /// <summary>Ongoing per replica and queued per handle stay within the limit in force at admission.</summary>
    LimitsHold,

    /// <summary>Only a replica that takes requests is given one.</summary>
    OnlyRunningServe,

    /// <summary>Nobody waits while a permit is free.</summary>
    WorkConserving,

    /// <summary>By choice no replica is stopped while fewer than wanted would serve.</summary>
    FloorServes,

    /// <summary>Nobody is told that a deployment is unavailable while it serves.</summary>
    ServesWhatItCan,

    /// <summary>Once it is given up, no replica of a version is given requests.</summary>
    FailedNeverServes,

    /// <summary>The number of replicas that a deployment wants is within its bounds, whatever its policy wishes for, and no more run.</summary>
    BoundsHold,

    /// <summary>All deployments together get no more than the box holds, nobody gets less while there is room, and who gets less is told why.</summary>
    BoxHolds,

    /// <summary>A request that finds no replica wakes one up at once.</summary>
    Wakes,

    /// <summary>The controller itself does not fail.</summary>
    ControllerWorks,

    /// <summary>When everything is well again, what is wanted, or what was good before, runs after a bounded time.</summary>
    Settles,

    /// <summary>Nothing is left of what is gone.</summary>
    NothingLeaks,
}

/// <summary>An invariant was broken. The message says with which seed it happens again.</summary>
internal sealed class ControllerSimulationFault(Invariant invariant, string message, Exception? inner = null) : Exception(message, inner)
{
    public Invariant Invariant => invariant;
}
