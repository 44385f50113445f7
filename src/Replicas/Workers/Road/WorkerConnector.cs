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

    /// <exception cref="WorkerFailedException">Nobody listens there, or the worker's queue of new connections stays full.</exception>
    public async ValueTask<WorkerConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        EventLoop loop = loops.Here;
        long since = 0;
        TimeSpan pause = FirstPause;
        while (true)
        {
            Socket socket = NewSocket();
            try
            {
                await socket.ConnectAsync(endPoint, cancellationToken);
                return new(socket, loop);
            }
            catch (SocketException full) when (full.SocketErrorCode is SocketError.WouldBlock or SocketError.TryAgain or SocketError.NoBufferSpaceAvailable)
            {
                socket.Dispose();
                since = since == 0 ? time.GetTimestamp() : since;
                if (time.GetElapsedTime(since) >= LongestWait)
                {
                    throw Failed($"The worker did not take a new connection within {LongestWait.TotalSeconds} s: its listen backlog is full.", full);
                }
            }
            catch (SocketException refused)
            {
                socket.Dispose();
                throw Failed($"The worker could not be reached at {endPoint} ({refused.SocketErrorCode}).", refused);
            }
            catch
            {
                socket.Dispose();
                throw;
            }

            await Task.Delay(pause, time, cancellationToken);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private Socket NewSocket() => endPoint.AddressFamily == AddressFamily.Unix
        ? new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        : new(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    private static WorkerFailedException Failed(string message, Exception inner) => new(message, inner) { NothingSent = true, CanRepeat = true };
}
