namespace Serve.Embedded.Proxy;

/// <summary>What one client may take of the data port. Immutable, swapped whole; new connections and requests see the new values.</summary>
internal sealed record ProxySettings
{
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(90);

    public int MaxConnections { get; init; } = 10_000;

    public long MaxRequestBodyBytes { get; init; } = 104_857_600;

    /// <summary>From the start of the drain until the listener closes.</summary>
    public TimeSpan ShutdownDelay { get; init; }
}
