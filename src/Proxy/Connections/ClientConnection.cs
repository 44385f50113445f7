using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Proxy;

/// <summary>
/// A client's connection, as Kestrel takes it. Kestrel's own reads ahead of its requests into a pipe and sends from another, each with a loop and the changes of threads between them; here a request is received by
/// who reads it and sent by who flushes it.
/// </summary>
internal sealed class ClientConnection : ConnectionContext, IDuplexPipe, IMemoryPoolFeature, IConnectionIdFeature, IConnectionEndPointFeature, IConnectionLifetimeFeature
{
    /// <summary>How much of what nobody has read is thrown away at the end.</summary>
    private const int MostUnread = 1024 * 1024;

    private static long s_count;

    private readonly Socket _socket;
    private readonly EventLoop _loop;
    private readonly ulong _registration;
    private readonly ClientInput _input;
    private readonly ClientOutput _output;
    private readonly CancellationTokenSource _closed = new();
    private int _isClosed;

    /// <param name="socket">Connected; its blocking calls return at once when there is nothing to do.</param>
    /// <param name="loop">Says when there is something to read.</param>
    public ClientConnection(Socket socket, EventLoop loop)
    {
        _socket = socket;
        _loop = loop;
        _input = new(socket, loop.ContinuesHere, OnEnd);
        _output = new(socket, exception => _input.End(new ConnectionResetException(exception.Message, exception)));
        LocalEndPoint = socket.LocalEndPoint;
        RemoteEndPoint = socket.RemoteEndPoint;
        ConnectionClosed = _closed.Token;
        Transport = this;
        Features.Set<IMemoryPoolFeature>(this);
        Features.Set<IConnectionIdFeature>(this);
        Features.Set<IConnectionEndPointFeature>(this);
        Features.Set<IConnectionLifetimeFeature>(this);
        _registration = loop.Add(socket, _input.Signal);
    }

    public override string ConnectionId { get; set; } = Interlocked.Increment(ref s_count).ToString("x", CultureInfo.InvariantCulture);

    public override IFeatureCollection Features { get; } = new FeatureCollection();

    public override IDictionary<object, object?> Items { get; set; } = new ConnectionItems();

    public override IDuplexPipe Transport { get; set; }

    /// <summary>Which loop's it is.</summary>
    public EventLoop Loop => _loop;

    public PipeReader Input => _input;

    public PipeWriter Output => _output;

    MemoryPool<byte> IMemoryPoolFeature.MemoryPool => ConnectionMemory.Pool;

    /// <summary>Whether something has come that was not received yet.</summary>
    public bool HasArrived
    {
        get
        {
            try
            {
                return _socket.Available > 0;
            }
            catch (Exception exception) when (exception is ObjectDisposedException or SocketException)
            {
                // It has just been closed from the other side.
                return false;
            }
        }
    }

    /// <summary>Forgets what was written and not flushed.</summary>
    public void TakeBack() => _output.TakeBack();

    /// <summary>Nothing more is sent, and the client learns of it; what it sends can still be read. For who has flushed all that he wrote.</summary>
    public void EndOutput()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // It is gone.
        }
    }

    /// <param name="abortReason">Why; <see langword="null"/> = Kestrel has seen the client's end, and is done.</param>
    public override void Abort(ConnectionAbortedException? abortReason)
    {
        _output.Break();
        ServingConnection? serving = Features.Get<ServingConnection>();
        if (TryClose())
        {
            // A client that has not taken what it was sent until now is not waited for.
            if (abortReason is null || (serving is { IsCutShort: true } && _output.Sending.IsCompleted))
            {
                // First: what is thrown away now must not be missing in the middle of what somebody still reads.
                _input.End(abortReason);
                CloseGracefully();
            }
            else
            {
                // The client is reset: it cannot take half a response for a whole one.
                _socket.Close(timeout: 0);
            }
        }

        _input.End(abortReason);
        if (serving is { IsBusy: false })
        {
            DropIfAborted();
        }
    }

    /// <summary>
    /// Called between two requests. Kestrel goes on to the next one although the connection was aborted, and does not read the last one's body to its end before: what has come of a body would be a request.
    /// </summary>
    public void DropIfAborted()
    {
        if (Volatile.Read(ref _isClosed) != 0)
        {
            _input.Drop();
        }
    }

    public override async ValueTask DisposeAsync()
    {
        _input.Complete();
        _output.Complete();
        await _output.Sending;
        if (TryClose())
        {
            CloseGracefully();
        }

        await base.DisposeAsync();
    }

    /// <summary>What was sent still reaches the client. A socket that is closed with something unread is reset, and what it had not delivered is lost: so what has come is thrown away first.</summary>
    private void CloseGracefully()
    {
        byte[] unread = ArrayPool<byte>.Shared.Rent(16 * 1024);
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
            int count;
            for (int total = 0; total < MostUnread && (count = _socket.Receive(unread, SocketFlags.None, out _)) > 0; total += count)
            {
            }
        }
        catch (SocketException)
        {
            // The client was faster.
        }

        ArrayPool<byte>.Shared.Return(unread);
        _socket.Dispose();
    }

    private bool TryClose()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) != 0)
        {
            return false;
        }

        _loop.Remove(_registration);
        return true;
    }

    private void OnEnd() => _ = _closed.CancelAsync();
}
