using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Serve.Embedded.Proxy;

/// <summary>
/// Kestrel's own transport, but we keep the listening sockets: closing one resets every connection that the kernel has accepted and the server
/// has not, so they are taken in first.
/// </summary>
/// <param name="loggers">Kestrel's own log.</param>
/// <param name="open">Gives the socket that listens on an address: a new one, or one that was handed over.</param>
internal sealed class ServingListener(ILoggerFactory loggers, Func<EndPoint, Socket> open) : IConnectionListenerFactory
{
    /// <summary>Under a flood of new connections the backlog never empties; then those behind it are the load balancer's to retry.</summary>
    private const int MostLooks = 10_000;

    private readonly List<(IConnectionListener Listener, Socket Socket)> _open = [];

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        Socket? socket = null;
        SocketTransportOptions options = new()
        {
            CreateBoundListenSocket = address => socket = open(address),
        };
        IConnectionListener listener = await new SocketTransportFactory(Options.Create(options), loggers).BindAsync(endpoint, cancellationToken);
        _open.Add((listener, socket!));
        return listener;
    }

    /// <summary>Lets in everybody whom the kernel has already accepted, then closes the listening sockets.</summary>
    public async Task StopAcceptingAsync()
    {
        foreach ((IConnectionListener listener, Socket socket) in _open)
        {
            for (int looks = 0; looks < MostLooks && socket.Poll(0, SelectMode.SelectRead); looks++)
            {
                // The accept loop is taking them in.
                await Task.Yield();
            }

            await listener.UnbindAsync();
        }

        _open.Clear();
    }
}
