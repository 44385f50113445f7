using System.Threading.Tasks.Sources;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Handles;

/// <summary>How a wait in the queue ended.</summary>
internal enum WaitEnd
{
    Waiting,

    /// <summary>A replica has a permit for the request.</summary>
    Granted,

    /// <summary>The caller left.</summary>
    Cancelled,

    /// <summary>The request's own time is over.</summary>
    TimedOut,

    /// <summary>It waited longer than the deployment lets a request wait.</summary>
    QueueTimedOut,

    /// <summary>The deployment is gone or has failed.</summary>
    Unavailable,
}

/// <summary>
/// One request in a queue. It leaves <see cref="WaitEnd.Waiting"/> exactly once, by one compare-and-swap: whoever wins that
/// (the grant, the caller who leaves, a timer) settles the counts and resumes the caller.
/// </summary>
internal sealed class Waiter(Handle handle, bool wasStarted = false, CallRoute? route = null) : IValueTaskSource<WaitEnd>, IThreadPoolWorkItem
{
    private ManualResetValueTaskSourceCore<WaitEnd> _core;
    private int _end;

    public Handle Handle => handle;

    /// <summary>A replica had it once, and is counted as having accepted it.</summary>
    public bool WasStarted => wasStarted;

    /// <summary>Which replicas it prefers.</summary>
    public CallRoute? Route => route;

    /// <summary>The next in the handle's queue; touched only by the owner of the drain.</summary>
    public Waiter? Next { get; set; }

    public bool IsWaiting => Volatile.Read(ref _end) == (int)WaitEnd.Waiting;

    /// <summary>The permit, after <see cref="WaitEnd.Granted"/>.</summary>
    public RequestLease Lease { get; private set; }

    /// <summary>Completes when the wait has ended. Await it once.</summary>
    public ValueTask<WaitEnd> Ended => new(this, _core.Version);

    /// <summary>Ends the wait without a permit. The place in the queue is free at once. <see langword="false"/> if the wait had already ended.</summary>
    public bool TryLeave(WaitEnd end)
    {
        if (Interlocked.CompareExchange(ref _end, (int)end, (int)WaitEnd.Waiting) != (int)WaitEnd.Waiting)
        {
            return false;
        }

        handle.Left(this, end);
        return true;
    }

    /// <summary>Gives the waiter its permit; <see langword="false"/> if it has left.</summary>
    public bool TryGrant(Replica replica, long now)
    {
        if (!IsWaiting)
        {
            return false;
        }

        Lease = new(handle, replica, now);
        return Interlocked.CompareExchange(ref _end, (int)WaitEnd.Granted, (int)WaitEnd.Waiting) == (int)WaitEnd.Waiting;
    }

    void IThreadPoolWorkItem.Execute() => _core.SetResult((WaitEnd)Volatile.Read(ref _end));

    WaitEnd IValueTaskSource<WaitEnd>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<WaitEnd>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<WaitEnd>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
