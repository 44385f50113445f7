using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Options;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Proxy;

/// <summary>
/// Kestrel's own transport, but we keep the listening sockets: closing one resets every connection that the kernel has accepted and the server
/// has not, so they are taken in first.
/// </summary>
/// <param name="environment">Whether connections are handled on the threads that hear of them, and where Kestrel's own log lines go.</param>
/// <param name="handedOver">Gives the socket that was handed over for an address; <see langword="null"/> = they are made, and are this server's alone.</param>
internal sealed class ServingListener(ServeEnvironment environment, Func<EndPoint, Socket>? handedOver) : IConnectionListenerFactory
{
    /// <summary>Where new connections cannot be kept out, the backlog never empties under a flood of them; then those behind it are the load balancer's to retry.</summary>
    private const int MostLooks = 10_000;

    private readonly List<(CountedListener Listener, Socket Socket)> _open = [];

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        Socket? socket = null;
        SocketTransportOptions options = new()
        {
            UnsafePreferInlineScheduling = environment.OnEventThreads,
            CreateBoundListenSocket = address => socket = (handedOver ?? SocketTransportOptions.CreateDefaultBoundListenSocket)(address),
        };
        CountedListener listener = new(await new SocketTransportFactory(Options.Create(options), environment.Loggers).BindAsync(endpoint, cancellationToken));
        _open.Add((listener, socket!));
        return listener;
    }

    /// <summary>Lets in everybody whom the kernel has already accepted, then closes the listening sockets.</summary>
    /// <returns>How many connections were accepted, ever: as many must have been served.</returns>
    public async Task<int> StopAcceptingAsync(CancellationToken cancellationToken)
    {
        // In a socket that was handed over, who comes now waits for the next server.
        bool isShut = handedOver is null && _open.All(o => ListenerFilter.TryRefuseNew(o.Socket));
        foreach ((CountedListener listener, Socket socket) in _open)
        {
            for (int looks = 0; (isShut || looks < MostLooks) && socket.Poll(0, SelectMode.SelectRead); looks++)
            {
                cancellationToken.ThrowIfCancellationRequested();

                // The accept loop is taking them in.
                await Task.Yield();
            }

            await listener.UnbindAsync(cancellationToken);
            await listener.Ended.WaitAsync(cancellationToken);
        }

        int accepted = _open.Sum(o => o.Listener.Accepted);
        _open.Clear();
        return accepted;
    }
}
