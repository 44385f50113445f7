using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Proxy;

/// <summary>Where clients connect. It keeps the listening sockets: closing one resets every connection that the kernel has accepted and the server has not, so they are taken in first.</summary>
/// <param name="environment">What the connections take from outside.</param>
/// <param name="handedOver">Gives the socket that was handed over for an address; <see langword="null"/> = they are made, and are this server's alone.</param>
internal sealed class ServingListener(ServeEnvironment environment, Func<EndPoint, Socket>? handedOver) : IConnectionListenerFactory
{
    /// <summary>How many connections may wait to be taken in.</summary>
    private const int Backlog = 512;

    /// <summary>Where new connections cannot be kept out, the backlog never empties under a flood of them; then those behind it are the load balancer's to retry.</summary>
    private const int MostLooks = 10_000;

    /// <summary>How long room for them is made, before it is seen whether there is.</summary>
    private static readonly TimeSpan RoomTime = TimeSpan.FromMilliseconds(10);

    private readonly List<ClientListener> _open = [];

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new PlatformNotSupportedException("A server with a port of its own needs Linux. Elsewhere it runs inside an ASP.NET Core application, with AddServe and MapServe.");
        }

        Socket socket = (handedOver ?? SocketTransportOptions.CreateDefaultBoundListenSocket)(endpoint);
        socket.Listen(Backlog);
        ClientListener listener = new(socket, environment, new());
        _open.Add(listener);
        return new(listener);
    }

    /// <summary>Lets in everybody whom the kernel has already accepted, then closes the listening sockets.</summary>
    /// <param name="makeRoom">Closes some, where those that wait can only be let in when others are gone.</param>
    /// <param name="cancellationToken">Lets in nobody more.</param>
    /// <returns>How many connections were accepted, ever: as many must have been served.</returns>
    public async Task<int> StopAcceptingAsync(Action makeRoom, CancellationToken cancellationToken)
    {
        // In a socket that was handed over, who comes now waits for the next server.
        bool isShut = handedOver is null && _open.All(listener => ListenerFilter.TryRefuseNew(listener.Socket));
        foreach (ClientListener listener in _open)
        {
            listener.TakeAll();
            for (int looks = 0; (isShut || looks < MostLooks) && listener.Socket.Poll(0, SelectMode.SelectRead); looks++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (listener.IsFull)
                {
                    makeRoom();
                    await Task.Delay(RoomTime, environment.Time, cancellationToken);
                }
                else
                {
                    // The accept loop is taking them in.
                    await Task.Yield();
                }
            }

            await listener.UnbindAsync(cancellationToken);
            await listener.Ended.WaitAsync(cancellationToken);
        }

        int accepted = _open.Sum(listener => listener.Accepted);
        _open.Clear();
        return accepted;
    }
}
