using System.Net;
using Serve.Embedded.Client;

namespace Serve.Embedded;

/// <summary>How a <see cref="ServeClientHandler"/> retries.</summary>
public sealed record ServeClientOptions
{
    private static readonly TimeSpan LongestTime = TimeSpan.FromDays(1);

    /// <summary>Tries after the first, 0 to 20. Default 5.</summary>
    public int MaxRetries { get; set; } = 5;

    /// <summary>
    /// For all tries of a request and the waits between them, above 0 and at most a day. The server is told in <c>x-request-timeout-seconds</c> what is left of it at each try, and stops there too. A request that comes with
    /// that header has the header's instead. <see langword="null"/> = none. Default 60 s.
    /// </summary>
    public TimeSpan? Timeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>For each single try, above 0 and at most a day. <see langword="null"/> (default) = what is left of <see cref="Timeout"/>.</summary>
    public TimeSpan? TryTimeout { get; set; }

    /// <summary>
    /// The wait before the first retry, above 0 and at most a day; each one after it is four times as long: 0.1, 0.4, 1.6, 6.4, 25.6 s. Each is spread by chance from half of itself to one and a half. Default 0.1 s.
    /// </summary>
    public TimeSpan FirstBackoff { get; set; } = TimeSpan.FromSeconds(0.1);

    /// <summary>Where waits stop growing, at least <see cref="FirstBackoff"/> and at most a day. Default 25.6 s.</summary>
    public TimeSpan MaxBackoff { get; set; } = TimeSpan.FromSeconds(25.6);

    /// <summary>
    /// A retry never comes sooner than a response's <c>Retry-After</c> asks for. One that asks for more than this is not retried. 0 to a day. Default 60 s.
    /// </summary>
    public TimeSpan MaxRetryAfter { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>Responses that are retried. Default 500, 501, 502, 503 and 504. A refusal that says it did not run the request is retried whatever its status.</summary>
    public IReadOnlyCollection<HttpStatusCode> StatusCodes { get; set; } =
    [
        HttpStatusCode.InternalServerError, HttpStatusCode.NotImplemented, HttpStatusCode.BadGateway, HttpStatusCode.ServiceUnavailable, HttpStatusCode.GatewayTimeout,
    ];

    /// <summary>Whether requests may be run twice whatever their method: POST and PATCH are then retried as GET is. Default <see langword="false"/>. For one request: <see cref="ServeClientHandler.MayRunTwice"/>.</summary>
    public bool RetryNonIdempotent { get; set; }

    /// <summary>
    /// Retries that each request adds to the budget, 0 to 10: with 0.2, a server whose every answer is an error is sent 20 percent more than without retries. What is not used fades within some ten seconds. Default 0.2.
    /// </summary>
    public double RetryRatio { get; set; } = 0.2;

    /// <summary>
    /// Retries that each second adds to the budget, 0 to 1,000, up to <see cref="RetryBurst"/>: for clients that send little. Each client has them: a thousand clients may send a hundred retries a second with 0.1, the default.
    /// </summary>
    public double RetriesPerSecond { get; set; } = 0.1;

    /// <summary>What <see cref="RetriesPerSecond"/> saves up at most, and what there is at the start, 1 to 10,000. Default 5.</summary>
    public int RetryBurst { get; set; } = 5;

    /// <summary>
    /// Content that could be read only once, such as a stream, is kept in memory to be sent again if its length is known and at most this, in bytes; 0 or more. Other content of this kind is sent again only where nothing of it
    /// was sent. Default 1 MiB.
    /// </summary>
    public int MaxBufferedBytes { get; set; } = 1024 * 1024;

    internal RetryBudget NewBudget(TimeProvider time) => new(RetryRatio, RetriesPerSecond, RetryBurst, time);

    /// <summary>Everything that is wrong; <see langword="null"/> = nothing.</summary>
    internal string? Problem()
    {
        List<string> wrong = [];
        Check(MaxRetries is >= 0 and <= 20, $"MaxRetries must be from 0 to 20, not {MaxRetries}.");
        Check(Timeout is null || IsTime(Timeout.Value), $"Timeout must be above 0 and at most a day, or null, not {Timeout}.");
        Check(TryTimeout is null || IsTime(TryTimeout.Value), $"TryTimeout must be above 0 and at most a day, or null, not {TryTimeout}.");
        Check(IsTime(FirstBackoff), $"FirstBackoff must be above 0 and at most a day, not {FirstBackoff}.");
        Check(MaxBackoff >= FirstBackoff && MaxBackoff <= LongestTime, $"MaxBackoff must be at least FirstBackoff and at most a day, not {MaxBackoff}.");
        Check(MaxRetryAfter >= TimeSpan.Zero && MaxRetryAfter <= LongestTime, $"MaxRetryAfter must be from 0 to a day, not {MaxRetryAfter}.");
        Check(StatusCodes is not null, "StatusCodes must not be null; leave it empty to retry no response.");
        Check(RetryRatio is >= 0 and <= 10, FormattableString.Invariant($"RetryRatio must be from 0 to 10, not {RetryRatio}."));
        Check(RetriesPerSecond is >= 0 and <= 1000, FormattableString.Invariant($"RetriesPerSecond must be from 0 to 1000, not {RetriesPerSecond}."));
        Check(RetryBurst is >= 1 and <= 10_000, $"RetryBurst must be from 1 to 10000, not {RetryBurst}.");
        Check(MaxBufferedBytes >= 0, $"MaxBufferedBytes must be 0 or more, not {MaxBufferedBytes}.");
        return wrong.Count == 0 ? null : string.Join(' ', wrong);

        void Check(bool holds, string otherwise)
        {
            if (!holds)
            {
                wrong.Add(otherwise);
            }
        }
    }

    private static bool IsTime(TimeSpan time) => time > TimeSpan.Zero && time <= LongestTime;
}
