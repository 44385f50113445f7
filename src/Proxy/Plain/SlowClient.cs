namespace Serve.Embedded.Proxy;

/// <summary>How long a client may take for what it sends and for what it is sent: what Kestrel allows too.</summary>
internal static class SlowClient
{
    private const double LeastBytesPerSecond = 240;

    private const double GraceSeconds = 5;

    /// <summary>For the rest of a body that nobody reads.</summary>
    public static readonly TimeSpan UnreadBody = TimeSpan.FromSeconds(5);

    public static TimeSpan Allowed(long bytes) => TimeSpan.FromSeconds(Math.Max(GraceSeconds, bytes / LeastBytesPerSecond));
}
