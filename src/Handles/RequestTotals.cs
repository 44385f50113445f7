namespace Serve.Embedded.Handles;

/// <summary>What became of requests, of one handle or of many.</summary>
internal readonly record struct RequestTotals(long Arrived, long Started, long Shed, long Completed, long Failed, long Cancelled, long TimedOut)
{
    public long Ended => Completed + Failed + Cancelled + TimedOut;

    /// <summary>Nobody waits or runs.</summary>
    public bool AllEnded => Arrived == Shed + Ended;

    public static RequestTotals operator +(RequestTotals left, RequestTotals right) => new(
        left.Arrived + right.Arrived,
        left.Started + right.Started,
        left.Shed + right.Shed,
        left.Completed + right.Completed,
        left.Failed + right.Failed,
        left.Cancelled + right.Cancelled,
        left.TimedOut + right.TimedOut);
}
