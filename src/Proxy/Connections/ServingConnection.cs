using Microsoft.AspNetCore.Connections.Features;

namespace Serve.Embedded.Proxy;

/// <summary>What the drain needs to know of one accepted connection: whether it serves a request now, and since when it does not.</summary>
internal sealed class ServingConnection(ClientConnection connection, TimeProvider time)
{
    private const long Busy = long.MaxValue;

    private long _idleSince = time.GetTimestamp();

    /// <summary>It serves a request now.</summary>
    public bool IsBusy => Volatile.Read(ref _idleSince) == Busy;

    public void RequestBegins() => Volatile.Write(ref _idleSince, Busy);

    public void RequestEnds() => Volatile.Write(ref _idleSince, time.GetTimestamp());

    /// <summary>Whether it has served nothing for this long and nothing has arrived on it.</summary>
    public bool IsIdleFor(TimeSpan idle)
    {
        long since = Volatile.Read(ref _idleSince);
        return since != Busy && time.GetElapsedTime(since) >= idle && !connection.HasArrived;
    }

    /// <summary>Asks the server to close it as soon as it serves nothing.</summary>
    public void RequestClose() => connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
}
