namespace Serve.Embedded.Telemetry;

/// <summary>What became of requests, of one handle or of many.</summary>
internal readonly record struct RequestTotals(long Arrived, long Started, RefusalTotals Refused, long Completed, long Failed, long Cancelled, long TimedOut)
{
    public long Shed => Refused.All;

    public long Ended => Completed + Failed + Cancelled + TimedOut;

    /// <summary>Nobody waits or runs.</summary>
    public bool AllEnded => Arrived == Shed + Ended;

    public static RequestTotals operator +(RequestTotals left, RequestTotals right) => new(
        left.Arrived + right.Arrived,
        left.Started + right.Started,
        left.Refused + right.Refused,
        left.Completed + right.Completed,
        left.Failed + right.Failed,
        left.Cancelled + right.Cancelled,
        left.TimedOut + right.TimedOut);
}

/// <summary>Requests that no replica was given, by what they met.</summary>
internal readonly record struct RefusalTotals(long QueueFull, long QueueTime, long Websockets, long Unavailable)
{
    public long All => QueueFull + QueueTime + Websockets + Unavailable;

    public static RefusalTotals operator +(RefusalTotals left, RefusalTotals right) => new(
        left.QueueFull + right.QueueFull, left.QueueTime + right.QueueTime, left.Websockets + right.Websockets, left.Unavailable + right.Unavailable);
}

/// <summary>Why a request is refused.</summary>
internal enum RefusalReason
{
    /// <summary><c>max_queued_requests</c>.</summary>
    QueueFull,

    /// <summary><c>max_queue_wait_s</c>.</summary>
    QueueTime,

    /// <summary><c>max_websockets</c>.</summary>
    Websockets,

    /// <summary>The deployment has failed or is going away.</summary>
    Unavailable,
}
