using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>Takes in the connections of clients, and knows how many it has taken in, and when it has taken in its last.</summary>
/// <param name="socket">Listens.</param>
/// <param name="environment">The clock, where log lines go, and which threads the connections are handled on.</param>
internal sealed class ClientListener(Socket socket, ServeEnvironment environment) : IConnectionListener
{
    /// <summary>How long it lets connections wait when the process or the system can have no more of them.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly ReadEvents _events = ReadEvents.For(environment.OnEventThreads);
    private readonly RefusalLog _failures = new(environment.Loggers.CreateLogger(LogCategories.Proxy), "-", "connections", environment.Time);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _accepted;

    public EndPoint EndPoint { get; } = socket.LocalEndPoint!;

    public Socket Socket => socket;

    public int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Completes once nothing more can be accepted; then <see cref="Accepted"/> stands.</summary>
    public Task Ended => _ended.Task;

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            Socket? client = null;
            try
            {
                client = await socket.AcceptAsync(cancellationToken);
                client.NoDelay = true;
                client.Blocking = false;
                ClientConnection connection = new(client, _events);
                Interlocked.Increment(ref _accepted);
                return connection;
            }
            catch (Exception exception) when (exception is ObjectDisposedException or SocketException { SocketErrorCode: SocketError.OperationAborted })
            {
                _failures.Dispose();
                _ended.TrySetResult();
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
                _failures.Write(exception.Message, static why => $"New connections wait: {why}. Lower http_options.max_connections, or let the process open more files (ulimit -n, LimitNOFILE=).");
                await Task.Delay(Pause, environment.Time, CancellationToken.None);
            }
        }
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        socket.Dispose();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => UnbindAsync(CancellationToken.None);
}
