namespace Serve.Embedded.Replicas;

/// <summary>Where a replica is in its life.</summary>
internal enum ReplicaState
{
    /// <summary>Its handler is being made and configured; it takes no requests.</summary>
    Starting,

    /// <summary>It takes requests.</summary>
    Running,

    /// <summary>It takes requests while a new <c>user_config</c> is handed to its handler.</summary>
    Updating,

    /// <summary>It takes no new requests and finishes those it has.</summary>
    Draining,

    /// <summary>It has ended and its handler is disposed of.</summary>
    Stopped,

    /// <summary>It never came up.</summary>
    Failed,

    /// <summary>A handler would not end: nobody waits for it any more, and its threads are left to it.</summary>
    Abandoned,
}

/// <summary>The moves a replica may make. Only the controller's loop moves it; a replica refuses a move that is not here.</summary>
/// <remarks>
/// <code>
/// from \ to   Running  Updating  Draining  Stopped  Failed  Abandoned
/// Starting       x                            x        x
/// Running                  x         x
/// Updating       x                   x
/// Draining                                    x                 x
/// Abandoned                                   x
/// Stopped, Failed: none
/// </code>
/// </remarks>
internal static class ReplicaStates
{
    public static bool CanMove(ReplicaState from, ReplicaState to) => (from, to) switch
    {
        (ReplicaState.Starting, ReplicaState.Running or ReplicaState.Failed or ReplicaState.Stopped) => true,
        (ReplicaState.Running, ReplicaState.Updating or ReplicaState.Draining) => true,
        (ReplicaState.Updating, ReplicaState.Running or ReplicaState.Draining) => true,
        (ReplicaState.Draining, ReplicaState.Stopped or ReplicaState.Abandoned) => true,
        (ReplicaState.Abandoned, ReplicaState.Stopped) => true,
        _ => false,
    };

    public static bool TakesRequests(this ReplicaState state) => state is ReplicaState.Running or ReplicaState.Updating;
}
