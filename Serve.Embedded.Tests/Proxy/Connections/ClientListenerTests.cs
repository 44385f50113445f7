using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Proxy;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Proxy.Connections;

public sealed partial class ClientListenerTests
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly ClientListener _listener;

    public ClientListenerTests()
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen();
        _listener = new(_socket, new(new ManualTimeProvider(), new(1), ServeEnvironment.ResumeOnThreadPool, NullLoggerFactory.Instance));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task UnbindAsync_SomebodyAcceptsNowOrWill_HasHadTheLast(bool accepts)
    {
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(_listener.EndPoint, TestServer.Deadline);
        await using (ConnectionContext? first = await _listener.AcceptAsync(TestServer.Deadline))
        {
            Assert.NotNull(first);
        }

        Task<ConnectionContext?>? accepting = accepts ? _listener.AcceptAsync(TestServer.Deadline).AsTask() : null;

        await _listener.UnbindAsync(TestServer.Deadline);

        Assert.Null(await (accepting ?? _listener.AcceptAsync(TestServer.Deadline).AsTask()).WaitAsync(TestServer.Deadline));
        await _listener.Ended.WaitAsync(TestServer.Deadline);
        Assert.Equal(1, _listener.Accepted);
        Assert.True(_socket.SafeHandle.IsClosed);
    }

    /// <summary>A listening socket that was handed over is the next server's too: closing it here must not make that one reset its clients.</summary>
    [Fact]
    public async Task UnbindAsync_SocketIsSharedWithTheNextServer_LeavesItAsItWas()
    {
        using Socket shared = new(new SafeSocketHandle(Duplicate((int)_socket.SafeHandle.DangerousGetHandle()), ownsHandle: true));
        Task<ConnectionContext?> accepting = _listener.AcceptAsync(TestServer.Deadline).AsTask();

        await _listener.UnbindAsync(TestServer.Deadline);
        await accepting;

        Assert.False(shared.LingerState!.Enabled);
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(shared.LocalEndPoint!, TestServer.Deadline);
        using Socket accepted = await shared.AcceptAsync(TestServer.Deadline);
        Assert.False(accepted.LingerState!.Enabled);
    }

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int descriptor);
}
