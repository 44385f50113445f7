using System.Net;
using Microsoft.AspNetCore.Connections.Features;

namespace Serve.Embedded.Proxy;

/// <summary>What the drain needs to know of one accepted connection: whether it serves a request now, and since when it does not.</summary>
internal sealed class ServingConnection(ClientConnection connection, TimeProvider time)
{
    private const long Busy = long.MaxValue;

    private long _idleSince = time.GetTimestamp();
    private bool _isPlain;
    private bool _isTooSlow;
    private bool _isCutShort;

    public string Id => connection.ConnectionId;

    public EndPoint? Client => connection.RemoteEndPoint;

    /// <summary>The client has closed it, if only its half.</summary>
    public bool HasClientLeft => connection.ConnectionClosed.IsCancellationRequested;

    /// <summary>Kestrel breaks it off, because its client takes a response too slowly.</summary>
    public bool IsTooSlow
    {
        get => Volatile.Read(ref _isTooSlow);
        set => Volatile.Write(ref _isTooSlow, value);
    }

    /// <summary>
    /// It is aborted since its response is broken off, and the response's framing says that it is not whole: so it need not be reset, and the client gets what was sent before. Otherwise a reset may overtake that.
    /// </summary>
    public bool IsCutShort
    {
        get => Volatile.Read(ref _isCutShort);
        set => Volatile.Write(ref _isCutShort, value);
    }

    /// <summary>It serves a request now.</summary>
    public bool IsBusy => Volatile.Read(ref _idleSince) == Busy;

    public void RequestBegins() => Volatile.Write(ref _idleSince, Busy);

    public void RequestEnds()
    {
        Volatile.Write(ref _idleSince, time.GetTimestamp());
        Interlocked.MemoryBarrier();
        connection.DropIfAborted();
    }

    /// <summary>Whether it has served nothing for this long and nothing has arrived on it.</summary>
    public bool IsIdleFor(TimeSpan idle)
    {
        long since = Volatile.Read(ref _idleSince);
        return since != Busy && time.GetElapsedTime(since) >= idle && !connection.HasArrived;
    }

    /// <summary>Its requests have been plain so far, so that Kestrel does not have it yet.</summary>
    public bool IsPlain
    {
        get => Volatile.Read(ref _isPlain);
        set => Volatile.Write(ref _isPlain, value);
    }

    /// <summary>Ends the wait for its next request, if that has taken too long and Kestrel has no part in it.</summary>
    public void CloseIfPlain(TimeSpan idle)
    {
        if (IsPlain && IsIdleFor(idle))
        {
            connection.Input.CancelPendingRead();
        }
    }

    /// <summary>Asks the server to close it as soon as it serves nothing.</summary>
    public void RequestClose() => connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
}
