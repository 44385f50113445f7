using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Deployments;
using Serve.Embedded.Proxy;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Proxy.Connections;

public sealed partial class ClientListenerTests
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly ManualTimeProvider _time = new();
    private readonly FakeLogCollector _logs = FakeLogCollector.Create(new());
    private readonly ClientListener _listener;

    public ClientListenerTests()
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _socket.Listen();
        _listener = Listener(new());
    }

    /// <summary>A flood of clients leaves the server what it needs for its workers, and is told of once.</summary>
    [Fact]
    public async Task AcceptAsync_DescriptorsLeftAreTheServersOwn_WaitsUntilOthersAreFree()
    {
        ulong limit = 0;
        ClientListener listener = Listener(new(() => limit));
        using Socket client = await ConnectAsync();
        using Socket other = await ConnectAsync();
        await using ConnectionContext? first = await listener.AcceptAsync(TestServer.Deadline);
        Assert.True(listener.IsFull);

        Task<ConnectionContext?> second = listener.AcceptAsync(TestServer.Deadline).AsTask();
        for (int looks = 0; looks < 10; looks++)
        {
            await _time.WhenArmedAsync(1, TestServer.Deadline);
            _time.Advance(TimeSpan.FromMilliseconds(100));
        }

        Assert.False(second.IsCompleted);
        Assert.Equal((EventIds.ConnectionsWait, LogLevel.Warning), Assert.Single(_logs.GetSnapshot().Select(static r => (r.Id.Id, r.Level))));
        limit = 1_000_000;
        await _time.PassUntilAsync(second, TimeSpan.FromMilliseconds(100), TestServer.Deadline);
        await using ConnectionContext? admitted = await second;
        Assert.NotNull(admitted);
        Assert.False(listener.IsFull);
    }

    [Fact]
    public async Task AcceptAsync_ItIsFullForLong_IsToldOnceAMinute()
    {
        ClientListener listener = Listener(new(static () => 0));
        using Socket client = await ConnectAsync();
        await using ConnectionContext? first = await listener.AcceptAsync(TestServer.Deadline);
        Task<ConnectionContext?> second = listener.AcceptAsync(TestServer.Deadline).AsTask();

        for (int minutes = 0; minutes < 3; minutes++)
        {
            await _time.WhenArmedAsync(1, TestServer.Deadline);
            Assert.Equal(minutes + 1, _logs.Count);
            _time.Advance(TimeSpan.FromMinutes(1));
        }

        await listener.UnbindAsync(TestServer.Deadline);
        Assert.Null(await second);
    }

    /// <summary>At the end nobody is kept for whom there is a descriptor.</summary>
    [Fact]
    public async Task TakeAll_OnlyTheServersOwnAreLeft_GivesThemToThoseWhoWait()
    {
        ClientListener listener = Listener(new(static () => 0));
        using Socket client = await ConnectAsync();
        using Socket other = await ConnectAsync();
        await using ConnectionContext? first = await listener.AcceptAsync(TestServer.Deadline);

        listener.TakeAll();

        await using ConnectionContext? second = await listener.AcceptAsync(TestServer.Deadline);
        Assert.NotNull(second);
    }

    /// <summary>An error that stays takes no processor. (No descriptors is such a one; a socket that is shut down gives another.)</summary>
    [Fact]
    public async Task AcceptAsync_ErrorThatStays_PausesBeforeItTriesAgain()
    {
        _socket.Shutdown(SocketShutdown.Both);

        Task<ConnectionContext?> accepting = _listener.AcceptAsync(TestServer.Deadline).AsTask();

        await _time.WhenArmedAsync(1, TestServer.Deadline);
        await _listener.UnbindAsync(TestServer.Deadline);
        await _time.PassUntilAsync(accepting, TimeSpan.FromMilliseconds(100), TestServer.Deadline);
        Assert.Equal(1, _logs.Count);
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

    private ClientListener Listener(DescriptorReserve reserve) =>
        new(_socket, new(_time, new(1), ServeEnvironment.ResumeOnThreadPool, new LoggerFactory([new FakeLoggerProvider(_logs)])), reserve);

    private async Task<Socket> ConnectAsync()
    {
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(_socket.LocalEndPoint!, TestServer.Deadline);
        return client;
    }

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int descriptor);
}
