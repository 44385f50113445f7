using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>Takes in the connections of clients, and knows how many it has taken in, and when it has taken in its last.</summary>
/// <param name="socket">Listens.</param>
/// <param name="environment">The clock, where log lines go, and which threads the connections are handled on.</param>
/// <param name="reserve">What connections leave to the server itself.</param>
internal sealed class ClientListener(Socket socket, ServeEnvironment environment, DescriptorReserve reserve) : IConnectionListener
{
    /// <summary>How long it lets connections wait when the process or the system can have no more of them.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan TellAgainAfter = TimeSpan.FromMinutes(1);

    private readonly EventLoops _loops = EventLoops.For(environment.OnEventThreads);
    private readonly ILogger _logger = environment.Loggers.CreateLogger(LogCategories.Proxy);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private bool _accepts;
    private bool _takesAll;
    private bool _isFull;
    private long? _toldAt;
    private int _accepted;

    public EndPoint EndPoint { get; } = socket.LocalEndPoint!;

    public Socket Socket => socket;

    public int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Whether connections wait because there are no descriptors for them.</summary>
    public bool IsFull => Volatile.Read(ref _isFull);

    /// <summary>Completes once nothing more can be accepted; then <see cref="Accepted"/> stands.</summary>
    public Task Ended => _ended.Task;

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        // A full fence, which a volatile write is not: else the look whether to stop could come before this is seen, and who stops at that moment would close the socket during the wait.
        Interlocked.Exchange(ref _accepts, true);
        ConnectionContext? connection = null;
        try
        {
            return connection = await AcceptOneAsync();
        }
        finally
        {
            Volatile.Write(ref _accepts, false);
            if (connection is null)
            {
                socket.Dispose();
                _ended.TrySetResult();
            }
        }
    }

    /// <summary>The last ones, which are all that wait, are let in as long as there are any descriptors.</summary>
    public void TakeAll() => Volatile.Write(ref _takesAll, true);

    /// <summary>
    /// Ends the wait for the next connection, and closes the socket after it. Closing it during the wait would make the runtime set it to reset what it closes, for all who have it and ever will: one that was
    /// handed over is the next server's too.
    /// </summary>
    public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        await _stop.CancelAsync();
        if (!Volatile.Read(ref _accepts))
        {
            socket.Dispose();
        }
    }

    public ValueTask DisposeAsync() => UnbindAsync(CancellationToken.None);

    private async ValueTask<ClientConnection?> AcceptOneAsync()
    {
        while (true)
        {
            Socket? client = null;
            try
            {
                while (IsFull && !Volatile.Read(ref _takesAll) && reserve.IsNext(socket))
                {
                    Tell("the server may have no more files and connections open but the last, which it needs itself");
                    await Task.Delay(Pause, environment.Time, _stop.Token);
                }

                client = await socket.AcceptAsync(_stop.Token);
                client.NoDelay = true;
                client.Blocking = false;
                ClientConnection connection = new(client, _loops.Emptiest);
                Volatile.Write(ref _isFull, reserve.Has(client));
                Interlocked.Increment(ref _accepted);
                return connection;
            }
            catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException)
            {
                return null;
            }
            catch (SocketException exception) when (exception.SocketErrorCode is SocketError.ConnectionAborted or SocketError.ConnectionReset)
            {
                // It was gone before it was taken in.
                client?.Dispose();
            }
            catch (SocketException exception)
            {
                client?.Dispose();
                Volatile.Write(ref _isFull, true);
                Tell(exception.SocketErrorCode == SocketError.TooManyOpenSockets ? "the server or the system can have no more files and connections open" : exception.Message);
                await Task.Delay(Pause, environment.Time, CancellationToken.None);
            }
        }
    }

    /// <summary>They may wait for long.</summary>
    private void Tell(string why)
    {
        if (_toldAt is not { } told || environment.Time.GetElapsedTime(told) >= TellAgainAfter)
        {
            _toldAt = environment.Time.GetTimestamp();
            Log.ConnectionsWait(_logger, why);
        }
    }
}
