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

    public static TimeSpan Allowed(long bytes) => TimeSpan.FromSeconds(Math.Max(GraceSeconds, bytes / LeastBytesPerSecond));
}
