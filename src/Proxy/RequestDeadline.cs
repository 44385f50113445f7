using Serve.Embedded.Deployments;

namespace Serve.Embedded.Proxy;

/// <summary>
/// The one timer of a connection, set anew for each request that has to wait for something. It fires at most once per setting, and
/// <see cref="Clear"/> returns only when it is certain that it will not fire any more, so that a late timer never ends the next request.
/// </summary>
internal sealed class RequestDeadline(TimeProvider time, Func<EarlyEnd, CancellationTokenSource?> fire)
{
    private ITimer? _timer;
    private long _due;
    private int _cause;
    private int _ticking;

    /// <summary>Sets the deadline. One that was set before is cleared first.</summary>
    /// <param name="due">A timestamp of the clock.</param>
    /// <param name="cause">What to say when it passes.</param>
    public void Set(long due, EarlyEnd cause)
    {
        Volatile.Write(ref _cause, (int)cause);
        Volatile.Write(ref _due, due);
        Arm(due);
    }

    /// <summary>Takes the deadline off. When this returns it has fired or never will.</summary>
    public void Clear()
    {
        if (_timer is null)
        {
            return;
        }

        if (Interlocked.Exchange(ref _due, 0) != 0)
        {
            _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        SpinWait spin = default;
        while (Volatile.Read(ref _ticking) != 0)
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    private void Arm(long due)
    {
        TimeSpan wait = time.GetElapsedTime(time.GetTimestamp(), due);
        _timer ??= time.CreateTimer(static deadline => ((RequestDeadline)deadline!).Tick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

        // Timers count whole milliseconds: rounded up, so that it does not wake before it is due.
        _timer.Change(TimeSpan.FromMilliseconds(Math.Max(0, Math.Ceiling(wait.TotalMilliseconds))), Timeout.InfiniteTimeSpan);
    }

    private void Tick()
    {
        CancellationTokenSource? cancel = null;
        Interlocked.Increment(ref _ticking);
        long due = Volatile.Read(ref _due);
        int cause = Volatile.Read(ref _cause);
        if (due != 0 && time.GetTimestamp() < due)
        {
            // A timer may come a little early.
            Arm(due);
        }
        else if (due != 0 && Interlocked.CompareExchange(ref _due, 0, due) == due)
        {
            cancel = fire((EarlyEnd)cause);
        }

        Interlocked.Decrement(ref _ticking);

        // Last, since it may run the handler to its end on this thread, and that end clears the deadline.
        cancel?.CancelWhateverThrows();
    }
}
