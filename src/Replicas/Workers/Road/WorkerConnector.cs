using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Makes connections to a worker.</summary>
internal sealed class WorkerConnector(EndPoint endPoint, TimeProvider time, EventLoops loops)
{
    /// <summary>How long a worker may leave its queue of new connections full.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(50);

    /// <summary>Makes a socket of a kind; a test has none.</summary>
    public Func<AddressFamily, Socket> NewSocket { get; init; } = static family => family == AddressFamily.Unix
        ? new(family, SocketType.Stream, ProtocolType.Unspecified)
        : new(family, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    /// <summary>Told of each connection that nobody was there to take.</summary>
    public Action? OnRefused { get; init; }

    /// <exception cref="WorkerFailedException">Nobody listens there, the worker's queue of new connections stays full, or the server has no descriptor for one.</exception>
    public async ValueTask<WorkerConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        EventLoop loop = loops.Here;
        long since = 0;
        TimeSpan pause = FirstPause;
        while (true)
        {
            Socket? socket = null;
            try
            {
                socket = NewSocket(endPoint.AddressFamily);
                await socket.ConnectAsync(endPoint, cancellationToken);
                return new(socket, loop);
            }
            catch (SocketException full) when (full.SocketErrorCode is SocketError.WouldBlock or SocketError.TryAgain or SocketError.NoBufferSpaceAvailable or SocketError.TooManyOpenSockets)
            {
                socket?.Dispose();
                since = since == 0 ? time.GetTimestamp() : since;
                if (time.GetElapsedTime(since) >= LongestWait)
                {
                    throw full.SocketErrorCode == SocketError.TooManyOpenSockets
                        ? Failed("The worker could not be reached: the server can have no more files and connections open (ulimit -n, LimitNOFILE=).", full, serverIsShort: true)
                        : Failed($"The worker did not take a new connection within {LongestWait.TotalSeconds} s: its listen backlog is full.", full);
                }
            }
            catch (SocketException refused)
            {
                socket?.Dispose();

                // A Unix socket that is gone is no address to the runtime either; where there is a port, that says that the machine has none left for this end.
                if (refused.SocketErrorCode == SocketError.ConnectionRefused || endPoint.AddressFamily == AddressFamily.Unix)
                {
                    OnRefused?.Invoke();
                }

                throw Failed($"The worker could not be reached at {endPoint} ({refused.SocketErrorCode}).", refused);
            }
            catch
            {
                socket?.Dispose();
                throw;
            }

            await Task.Delay(pause, time, cancellationToken);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private static WorkerFailedException Failed(string message, Exception inner, bool serverIsShort = false) =>
        new(message, inner) { NothingSent = true, CanRepeat = !serverIsShort, ServerIsShort = serverIsShort };
}
