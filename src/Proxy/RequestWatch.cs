using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;

namespace Serve.Embedded.Proxy;

/// <summary>
/// Watches for what ends a request before its handler does: its client leaves, its time runs out, its replica must stop. One per connection.
/// A request whose handler completes at once is never watched, so it pays for nothing here.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="endsEarly">Answers in the handler's place, once, before the handler is cancelled.</param>
internal sealed class RequestWatch(TimeProvider time, Action<EarlyEnd> endsEarly)
{
    private readonly Action<EarlyEnd> _endsEarly = endsEarly;

    /// <summary>
    /// A handler that goes on elsewhere may begin its response in the instant in which its request begins to be watched. What each of the two writes is what the other one reads, and without this
    /// both may read what was there before; then a stream, or an upgraded connection, would end with the request's time. And one that goes on after its request has ended must set no time that the next would end with.
    /// </summary>
    private readonly Lock _timing = new();

    private RequestDeadline? _deadline;
    private CancellationTokenSource _cancellation = new();
    private CancellationTokenRegistration _clientLeaves;
    private CancellationTokenRegistration _replicaStops;
    private Waiter? _waiter;
    private bool _runs;
    private long _due;
    private int _cause;

    /// <summary>Cancels the handler.</summary>
    public CancellationToken Token => _cancellation.Token;

    /// <summary>Why a running request was ended early.</summary>
    public EarlyEnd Cause => (EarlyEnd)Volatile.Read(ref _cause);

    /// <summary>Starts the clock of a request.</summary>
    /// <param name="from">When its time began.</param>
    /// <param name="timeout"><see langword="null"/> = no end.</param>
    public void SetTimeout(long from, TimeSpan? timeout) => _due = timeout is { } limit ? Due(from, limit) : 0;

    /// <summary>The time of a response that has begun: replaces what is left of the request's.</summary>
    public void RestartTimeout(TimeSpan? timeout)
    {
        lock (_timing)
        {
            SetTimeout(time.GetTimestamp(), timeout);
            if (!_runs)
            {
                return;
            }

            _deadline?.Clear();
            SetDeadline(_due, EarlyEnd.TimedOut);
        }
    }

    /// <summary>Watches a request that waits in the queue.</summary>
    /// <param name="waiter">Its place.</param>
    /// <param name="maxWait">The longest wait that the deployment allows.</param>
    /// <param name="leaves">Set when its client leaves; none if the request outlives it.</param>
    public void WatchWait(Waiter waiter, TimeSpan? maxWait, CancellationToken leaves)
    {
        _waiter = waiter;
        long queueDue = maxWait is { } wait ? Due(time.GetTimestamp(), wait) : 0;
        if (queueDue != 0 && (_due == 0 || queueDue < _due))
        {
            SetDeadline(queueDue, EarlyEnd.QueueTimedOut);
        }
        else
        {
            SetDeadline(_due, EarlyEnd.TimedOut);
        }

        WatchClient(leaves);
    }

    /// <summary>Watches a request whose handler did not complete at once.</summary>
    public void WatchRun(CancellationToken leaves, CancellationToken replicaStops)
    {
        lock (_timing)
        {
            _runs = true;
            SetDeadline(_due, EarlyEnd.TimedOut);
        }

        WatchClient(leaves);
        _replicaStops = replicaStops.UnsafeRegister(static watch => ((RequestWatch)watch!).End(EarlyEnd.ReplicaStops)?.CancelWhateverThrows(), this);
    }

    /// <summary>The client has left, where that is told to its connection once and not to each request.</summary>
    public void ClientLeaves()
    {
        if (_runs || _waiter is not null)
        {
            End(EarlyEnd.ClientLeft)?.CancelWhateverThrows();
        }
    }

    /// <summary>The request itself has found its client gone.</summary>
    public void ClientHasLeft() => End(EarlyEnd.ClientLeft)?.CancelWhateverThrows();

    /// <summary>Stops watching. When this returns, nothing ends the request early any more.</summary>
    public void Stop()
    {
        if (_runs)
        {
            lock (_timing)
            {
                _runs = false;
            }
        }

        _deadline?.Clear();
        _clientLeaves.Dispose();
        _clientLeaves = default;
        _replicaStops.Dispose();
        _replicaStops = default;
        _waiter = null;
    }

    /// <summary>Makes ready for the connection's next request.</summary>
    public void Reset()
    {
        // A source that was cancelled, or is about to be by whoever set the cause, is left to its request.
        if (_cause != 0 || !_cancellation.TryReset())
        {
            _cancellation = new();
            _cause = 0;
        }
    }

    private long Due(long from, TimeSpan wait) => from + (long)(wait.TotalSeconds * time.TimestampFrequency);

    private void SetDeadline(long due, EarlyEnd cause)
    {
        if (due != 0)
        {
            _deadline ??= new(time, End);
            _deadline.Set(due, cause);
        }
    }

    private void WatchClient(CancellationToken leaves) =>
        _clientLeaves = leaves.UnsafeRegister(static watch => ((RequestWatch)watch!).End(EarlyEnd.ClientLeft)?.CancelWhateverThrows(), this);

    /// <summary>Ends the request. Returns what its caller must cancel last: that may run the handler to its end on this thread.</summary>
    private CancellationTokenSource? End(EarlyEnd cause)
    {
        if (_waiter is { } waiter && (waiter.TryLeave(WaitEndOf(cause)) || cause == EarlyEnd.QueueTimedOut))
        {
            // It goes on where it waits; or it has just been granted, and only its wait was too long.
            return null;
        }

        CancellationTokenSource cancellation = _cancellation;
        if (Interlocked.CompareExchange(ref _cause, (int)cause, 0) != 0)
        {
            return null;
        }

        _endsEarly(cause);
        return cancellation;
    }

    private static WaitEnd WaitEndOf(EarlyEnd cause) => cause switch
    {
        EarlyEnd.TimedOut => WaitEnd.TimedOut,
        EarlyEnd.QueueTimedOut => WaitEnd.QueueTimedOut,
        _ => WaitEnd.Cancelled,
    };
}

/// <summary>Why a request is ended before its handler ended it.</summary>
internal enum EarlyEnd
{
    None,

    /// <summary>The client closed its connection.</summary>
    ClientLeft,

    /// <summary>The request's time is over.</summary>
    TimedOut,

    /// <summary>It waited longer than the deployment allows.</summary>
    QueueTimedOut,

    /// <summary>The replica must stop now.</summary>
    ReplicaStops,
}
