using System.Net.Http.Headers;

namespace Serve.Embedded.Client;

/// <summary>How long to wait before a retry.</summary>
internal static class Backoff
{
    /// <summary>Each wait is so many times the one before.</summary>
    private const double Factor = 4;

    /// <summary>
    /// From half of the wait to one and a half, so that clients that failed together do not come back together. Never sooner than the server asks for, and for the same reason spread out beyond that too:
    /// it says the same whole second to all.
    /// </summary>
    /// <param name="retry">1 = the first.</param>
    /// <param name="first">The wait before the first retry.</param>
    /// <param name="most">The longest wait, before it is spread.</param>
    /// <param name="retryAfter">What the server asks for.</param>
    /// <param name="draw">Chance: 0 or more, less than 1.</param>
    public static TimeSpan Wait(int retry, TimeSpan first, TimeSpan most, TimeSpan retryAfter, double draw)
    {
        double own = Math.Min(first.TotalSeconds * Math.Pow(Factor, retry - 1), most.TotalSeconds);
        double shortest = Math.Max(own * 0.5, retryAfter.TotalSeconds);
        double longest = Math.Max(own, retryAfter.TotalSeconds) * 1.5;
        return TimeSpan.FromSeconds(shortest + ((longest - shortest) * draw));
    }

    /// <summary>What a <c>Retry-After</c> asks for, in seconds or as a date; zero where there is none or it is in the past.</summary>
    public static TimeSpan Asked(RetryConditionHeaderValue? header, DateTimeOffset now)
    {
        TimeSpan asked = header?.Delta ?? (header?.Date - now) ?? TimeSpan.Zero;
        return asked > TimeSpan.Zero ? asked : TimeSpan.Zero;
    }
}
