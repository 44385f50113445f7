using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>How long a client may take for what it sends and for what it is sent: what Kestrel allows too.</summary>
internal static class SlowClient
{
    private const double LeastBytesPerSecond = 240;

    private const double GraceSeconds = 5;

    /// <summary>What it is told whose request's body takes longer.</summary>
    public const string BodyTooSlow = "The request's body came too slowly, and the server has stopped waiting for the rest of it. Send it at 240 bytes per second or more.";

    /// <summary>For the rest of a body that nobody reads.</summary>
    public static readonly TimeSpan UnreadBody = TimeSpan.FromSeconds(5);

    /// <summary>A client took its response more slowly, and its connection was broken off.</summary>
    /// <param name="log">For lines about one request.</param>
    /// <param name="rate">What Kestrel has asked for, which a handler may have changed for its response.</param>
    public static void LogTooSlow(ILogger log, MinDataRate? rate = null) =>
        Log.ClientTooSlow(log, rate?.BytesPerSecond ?? LeastBytesPerSecond, rate?.GracePeriod.TotalSeconds ?? GraceSeconds);

    public static TimeSpan Allowed(long bytes) => TimeSpan.FromSeconds(Math.Max(GraceSeconds, bytes / LeastBytesPerSecond));
}
