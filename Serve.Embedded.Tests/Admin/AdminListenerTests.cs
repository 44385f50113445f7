using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Admin;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Admin;

public sealed class AdminListenerTests
{
    /// <summary>An error that stays takes no processor. (No descriptors is such a one; a socket that is shut down gives another.)</summary>
    [Fact]
    public async Task AcceptAsync_ErrorThatStays_PausesBeforeItTriesAgain()
    {
        ManualTimeProvider time = new();
        Socket socket = SocketTransportOptions.CreateDefaultBoundListenSocket(new IPEndPoint(IPAddress.Loopback, 0));
        using AdminListener.Factory factory = new(_ => socket, time, NullLoggerFactory.Instance);
        await using IConnectionListener listener = await factory.BindAsync(socket.LocalEndPoint!, TestServer.Deadline);
        socket.Shutdown(SocketShutdown.Both);

        Task<ConnectionContext?> accepting = listener.AcceptAsync(TestServer.Deadline).AsTask();

        await time.WhenArmedAsync(1, TestServer.Deadline);
        await listener.UnbindAsync(TestServer.Deadline);
        await time.PassUntilAsync(accepting, TimeSpan.FromMilliseconds(100), TestServer.Deadline);
        Assert.Null(await accepting);
    }

    [Fact]
    public async Task BindAsync_AddressIsTaken_SaysSoAsKestrelWantsIt()
    {
        using Socket taken = SocketTransportOptions.CreateDefaultBoundListenSocket(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        using AdminListener.Factory factory = new(SocketTransportOptions.CreateDefaultBoundListenSocket, TimeProvider.System, NullLoggerFactory.Instance);

        await Assert.ThrowsAsync<AddressInUseException>(async () => await factory.BindAsync(taken.LocalEndPoint!, TestServer.Deadline));
    }
}
