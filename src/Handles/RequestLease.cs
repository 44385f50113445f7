using Serve.Embedded.Replicas;

namespace Serve.Embedded.Handles;

/// <summary>
/// Proof of a permit on a replica. It belongs to the work, not to the response: whoever holds it ends it exactly once,
/// when the handler has really ended.
/// </summary>
/// <param name="handle">Through which the request came.</param>
/// <param name="replica">Which runs it.</param>
/// <param name="startedAt">A timestamp where the deployment was saturated, so that service times are measured only when somebody may ask for them; else 0.</param>
internal readonly struct RequestLease(Handle handle, Replica replica, long startedAt)
{
    public Handle Handle => handle;

    public Replica Replica => replica;

    /// <summary>Gives the permit back; it goes to the oldest living waiter.</summary>
    public void End(RequestEnd end)
    {
        handle.Counts.Ended(end);
        handle.Gate.Release(replica, startedAt);
    }

    /// <summary>Gives the permit back of a request that has not ended: its replica has died and it goes to another, or its connection was upgraded.</summary>
    public void Return() => handle.Gate.Release(replica, 0);

    /// <summary>Ends work whose permit has come back already.</summary>
    public void EndWithoutPermit(RequestEnd end) => handle.Counts.Ended(end);
}

/// <summary>How a request that was given a permit ended.</summary>
internal enum RequestEnd
{
    Completed,
    Failed,
    Cancelled,
    TimedOut,

    /// <summary>It found no place for the upgraded connection that it asked for.</summary>
    Refused,
}
