using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>
/// What became of every request that came through one handle. Each request is counted once where it ends, so
/// arrivals = shed + queued + ongoing + completed + failed + cancelled + timed out, at rest exactly.
/// </summary>
internal sealed class HandleCounts
{
    // Nearly every request is counted in these three: they stand together, so that they are in one line of the cache.
    private long _arrived;
    private long _started;
    private long _completed;
    private long _queueFull;
    private long _queueTime;
    private long _websockets;
    private long _unavailable;
    private long _failed;
    private long _cancelled;
    private long _timedOut;

    public long Arrived => Volatile.Read(ref _arrived);

    /// <summary>Accepted by a replica: the drain of the queue.</summary>
    public long Started => Volatile.Read(ref _started);

    public long Shed => Refused.All;

    /// <summary>The same, by what they met.</summary>
    public RefusalTotals Refused => new(Volatile.Read(ref _queueFull), Volatile.Read(ref _queueTime), Volatile.Read(ref _websockets), Volatile.Read(ref _unavailable));

    public long Completed => Volatile.Read(ref _completed);

    public long Failed => Volatile.Read(ref _failed);

    public long Cancelled => Volatile.Read(ref _cancelled);

    public long TimedOut => Volatile.Read(ref _timedOut);

    /// <summary>All of them. Arrivals are read last: where they are all ended by then, they were.</summary>
    public RequestTotals Totals
    {
        get
        {
            RequestTotals ends = new(0, Started, Refused, Completed, Failed, Cancelled, TimedOut);
            return ends with { Arrived = Arrived };
        }
    }

    public void Arrive() => Interlocked.Increment(ref _arrived);

    public void Start() => Interlocked.Increment(ref _started);

    public void Refuse(RefusalReason reason)
    {
        switch (reason)
        {
            case RefusalReason.QueueFull:
                Interlocked.Increment(ref _queueFull);
                break;
            case RefusalReason.QueueTime:
                Interlocked.Increment(ref _queueTime);
                break;
            case RefusalReason.Websockets:
                Interlocked.Increment(ref _websockets);
                break;
            case RefusalReason.Unavailable:
                Interlocked.Increment(ref _unavailable);
                break;
        }
    }

    public void Ended(RequestEnd end)
    {
        switch (end)
        {
            case RequestEnd.Completed:
                Interlocked.Increment(ref _completed);
                break;
            case RequestEnd.Failed:
                Interlocked.Increment(ref _failed);
                break;
            case RequestEnd.Cancelled:
                Interlocked.Increment(ref _cancelled);
                break;
            case RequestEnd.TimedOut:
                Interlocked.Increment(ref _timedOut);
                break;
            case RequestEnd.Refused:
                Refuse(RefusalReason.Websockets);
                break;
        }
    }

    public void Left(WaitEnd end)
    {
        switch (end)
        {
            case WaitEnd.Cancelled:
                Interlocked.Increment(ref _cancelled);
                break;
            case WaitEnd.TimedOut:
                Interlocked.Increment(ref _timedOut);
                break;
            case WaitEnd.QueueTimedOut:
                Refuse(RefusalReason.QueueTime);
                break;
            case WaitEnd.Unavailable:
                Refuse(RefusalReason.Unavailable);
                break;
        }
    }
}
