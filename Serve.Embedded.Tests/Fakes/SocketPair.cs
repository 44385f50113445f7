using System.Net;
using System.Net.Sockets;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Fakes;

/// <summary>Two sockets that are connected with each other.</summary>
internal static class SocketPair
{
    public static async Task<(Socket One, Socket Other)> ConnectAsync()
    {
        using Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        Socket one = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await one.ConnectAsync(listener.LocalEndPoint!, TestServer.Deadline);
        return (one, await listener.AcceptAsync(TestServer.Deadline));
    }
}
