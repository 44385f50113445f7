using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Admin;

/// <summary>
/// Takes in the connections of the admin port. Kestrel's own listener tries again at once and for ever when the process can have no more descriptors, and takes a processor for it.
/// </summary>
internal sealed class AdminListener(Socket socket, SocketConnectionContextFactory connections, TimeProvider time) : IConnectionListener
{
    /// <summary>How many connections may wait to be taken in.</summary>
    private const int Backlog = 512;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    public EndPoint EndPoint { get; } = socket.LocalEndPoint!;

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            try
            {
                Socket client = await socket.AcceptAsync(cancellationToken);
                client.NoDelay = true;
                return connections.Create(client);
            }
            catch (ObjectDisposedException)
            {
                return null;
            }
            catch (SocketException exception) when (exception.SocketErrorCode == SocketError.OperationAborted)
            {
                return null;
            }
            catch (SocketException)
            {
                // It was gone before it was taken in, or there are no descriptors, which the data port tells of.
                await Task.Delay(Pause, time, cancellationToken);
            }
        }
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => DisposeAsync();

    public ValueTask DisposeAsync()
    {
        socket.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <param name="open">Gives the bound socket for an endpoint.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loggers">Where log lines go.</param>
    public sealed class Factory(Func<EndPoint, Socket> open, TimeProvider time, ILoggerFactory loggers) : IConnectionListenerFactory, IDisposable
    {
        private readonly SocketConnectionContextFactory _connections = new(new(), loggers.CreateLogger<AdminListener>());

        public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
        {
            Socket socket;
            try
            {
                socket = open(endpoint);
                socket.Listen(Backlog);
            }
            catch (SocketException exception) when (exception.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                throw new AddressInUseException(exception.Message, exception);
            }

            return new(new AdminListener(socket, _connections, time));
        }

        public void Dispose() => _connections.Dispose();
    }
}
