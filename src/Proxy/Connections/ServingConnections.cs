using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Text;
using Microsoft.AspNetCore.Connections;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>The connections of the data port: at most <c>max_connections</c>, and known one by one for the drain. Kestrel runs it around each connection.</summary>
internal sealed class ServingConnections : IDisposable
{
    /// <summary>How many refused connections may linger, so that their client reads the refusal before the connection is gone.</summary>
    private const int MostLingering = 128;

    private static readonly TimeSpan LingerTime = TimeSpan.FromSeconds(1);

    private static readonly byte[] TooMany = RefusalOf("The server has as many connections as http_options.max_connections allows. Retry after 1 s.");

    /// <summary>How exactly the end of a connection's idle time is kept, as Kestrel keeps it.</summary>
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);

    private readonly ProxyApplication _proxy;
    private readonly ConcurrentDictionary<ServingConnection, byte> _open = new();
    private readonly RefusalLog _refusals;
    private readonly ITimer _look;
    private int _begun;
    private int _count;
    private int _lingering;

    public ServingConnections(ProxyApplication proxy)
    {
        _proxy = proxy;
        _refusals = new(proxy.Environment.Loggers.CreateLogger(LogCategories.Proxy), "-", "http_options.max_connections", proxy.Environment.Time);
        _look = proxy.Environment.Time.CreateTimer(static connections => ((ServingConnections)connections!).CloseOld(), this, LookInterval, LookInterval);
    }

    /// <summary>Connections that are served now.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Those that serve a request now.</summary>
    public int CountBusy() => _open.Count(static c => c.Key.IsBusy);

    public ConnectionDelegate Bound(ConnectionDelegate next) => connection => ServeAsync(connection, next);

    public void Dispose()
    {
        _look.Dispose();
        _refusals.Dispose();
    }

    /// <summary>The open connection that has this id.</summary>
    public ServingConnection? Find(string connectionId) => _open.FirstOrDefault(c => c.Key.Id == connectionId).Key;

    /// <summary>Closes connections as they fall idle, until there are none.</summary>
    /// <param name="accepted">How many were accepted: one that nobody has begun to serve yet is not idle.</param>
    /// <param name="idleTime">
    /// How long a connection must have been quiet. A client that has just been answered may already have sent its next
    /// request; the answer to that one tells it that the connection closes.
    /// </param>
    /// <param name="cancellationToken">Stops waiting.</param>
    public async Task CloseIdleAsync(int accepted, TimeSpan idleTime, CancellationToken cancellationToken)
    {
        TimeSpan lookAgain = TimeSpan.FromMilliseconds(10);

        // In this order: each is counted as open before it is as begun, so that who has begun by the first look, and is open, is seen by the second.
        while (Volatile.Read(ref _begun) < accepted || Count > 0)
        {
            CloseIdle(idleTime);
            await Task.Delay(lookAgain, _proxy.Environment.Time, cancellationToken);
        }
    }

    /// <summary>Closes those that have been quiet for so long.</summary>
    public void CloseIdle(TimeSpan idleTime)
    {
        foreach ((ServingConnection connection, _) in _open)
        {
            if (connection.IsIdleFor(idleTime))
            {
                connection.RequestClose();
            }
        }
    }

    /// <summary>Ends what Kestrel's clock does not see.</summary>
    private void CloseOld()
    {
        TimeSpan limit = _proxy.Settings.KeepAliveTimeout;
        foreach ((ServingConnection connection, _) in _open)
        {
            connection.CloseIfPlain(limit);
        }
    }

    private async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        int limit = _proxy.Settings.MaxConnections;
        bool isOpen = Interlocked.Increment(ref _count) <= limit;
        Interlocked.Increment(ref _begun);
        if (!isOpen)
        {
            Interlocked.Decrement(ref _count);
            _refusals.Write(limit, static max => $"A connection was refused: {max} are open, which is http_options.max_connections.");
            await RefuseAsync(connection);
            return;
        }

        ServingConnection serving = new((ClientConnection)connection, _proxy.Environment.Time);
        _open[serving] = 0;
        connection.Features.Set(serving);
        connection.Features.Set(HeaderEncoding.Instance);
        try
        {
            serving.IsPlain = true;
            bool hasEnded = await new PlainConnection(_proxy, (ClientConnection)connection, serving).ServeAsync();
            serving.IsPlain = false;
            if (!hasEnded)
            {
                await next(connection);
            }
        }
        finally
        {
            _open.TryRemove(serving, out _);
            Interlocked.Decrement(ref _count);
        }
    }

    /// <summary>Says why in HTTP. A connection that is closed with bytes unread is reset, and a reset can overtake the answer: so wait a moment for the request.</summary>
    private async Task RefuseAsync(ConnectionContext connection)
    {
        await connection.Transport.Output.WriteAsync(TooMany);
        if (Interlocked.Increment(ref _lingering) <= MostLingering)
        {
            using CancellationTokenSource enough = new(LingerTime, _proxy.Environment.Time);
            try
            {
                ReadResult read = await connection.Transport.Input.ReadAsync(enough.Token);
                connection.Transport.Input.AdvanceTo(read.Buffer.End);
            }
            catch (OperationCanceledException)
            {
                // It sent nothing in time.
            }
            catch (IOException)
            {
                // It is gone.
            }
        }

        Interlocked.Decrement(ref _lingering);
    }

    private static byte[] RefusalOf(string text) => Encoding.ASCII.GetBytes(
        $"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n{OwnAnswers.NotRunHeader}: ?1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {text.Length}\r\n\r\n{text}");
}
