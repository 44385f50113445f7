using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Admin;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Hosting.Systemd;
using Serve.Embedded.Proxy;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Hosting.Systemd;

/// <summary>Descriptors as systemd hands them over: in a row, from a first one on. Here the row is high up, where this process has none of its own; each test has a row to itself.</summary>
public sealed partial class InheritedSocketsTests : IDisposable
{
    private const int ProcessId = 4242;
    private const int RowLength = 8;

    private static int _rows = 800;

    private readonly int _first = Interlocked.Add(ref _rows, RowLength);
    private readonly FakeLogger _logger = new();
    private readonly Dictionary<string, string> _variables = [];
    private readonly List<Socket> _given = [];

    public InheritedSocketsTests()
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Skip("systemd is Linux's.");
        }
    }

    public void Dispose() => _given.ForEach(s => s.Dispose());

    [Fact]
    public void FromEnvironment_ByName_WhateverTheOrder()
    {
        IPEndPoint admin = Give(Listening());
        IPEndPoint first = Give(Listening());
        IPEndPoint second = Give(Listening());

        using InheritedSockets inherited = FromEnvironment("admin:http:http");

        Assert.Equal([first, second], inherited.HttpAddresses);
        Assert.Equal([admin], inherited.AdminAddresses);
        Assert.Equal(3, Logged(EventIds.SocketInherited));
        Assert.Empty(_variables);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("serve.socket:serve.socket")]
    [InlineData("unknown")]
    public void FromEnvironment_WithoutOurNames_FirstIsDataAndSecondAdmin(string? names)
    {
        IPEndPoint http = Give(Listening());
        IPEndPoint admin = Give(Listening());

        using InheritedSockets inherited = FromEnvironment(names);

        Assert.Equal([http], inherited.HttpAddresses);
        Assert.Equal([admin], inherited.AdminAddresses);
    }

    [Theory]
    [InlineData("4243", "1")]
    [InlineData(null, "1")]
    [InlineData("4242", null)]
    [InlineData("4242", "none")]
    [InlineData("4242", "0")]
    public void FromEnvironment_NotForThisProcess_TakesNothing(string? pid, string? count)
    {
        Give(Listening());
        _variables["LISTEN_FDNAMES"] = "http";
        if (pid is not null)
        {
            _variables["LISTEN_PID"] = pid;
        }

        if (count is not null)
        {
            _variables["LISTEN_FDS"] = count;
        }

        using InheritedSockets inherited = InheritedSockets.FromEnvironment(Get, Unset, ProcessId, _logger, _first);

        Assert.Empty(inherited.HttpAddresses);
        Assert.Empty(_variables);
        Assert.NotEqual(-1, Fcntl(_first, 1, 0));
        Assert.Equal(0, Close(_first));
    }

    [Fact]
    public void FromEnvironment_WhatNobodyCanConnectTo_IsClosedAndSaidToBe()
    {
        Socket bound = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        bound.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        Socket datagrams = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        datagrams.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        Socket unix = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        unix.Bind(new UnixDomainSocketEndPoint("\0serve-" + Guid.NewGuid().ToString("N")));
        unix.Listen();
        Give(bound);
        Give(datagrams);
        Give(unix);
        IPEndPoint http = Give(Listening());
        Give(Listening());

        // One more than there are: the last is no descriptor at all.
        using InheritedSockets inherited = FromEnvironment("http:http:http:http:other:http", count: 6);

        Assert.Equal([http], inherited.HttpAddresses);
        Assert.Equal(5, Logged(EventIds.SocketIgnored));
        Assert.All([0, 1, 2, 4], i => Assert.Equal(-1, Fcntl(_first + i, 1, 0)));
    }

    [Fact]
    public void FromEnvironment_TakenSocket_IsNotPassedToChildren()
    {
        Give(Listening());
        Assert.Equal(0, Fcntl(_first, 1, 0));

        using InheritedSockets inherited = FromEnvironment("http");

        Assert.Equal(1, Fcntl(_first, 1, 0));
    }

    [Fact]
    public void Open_TakesASocketOnceAndOwnsIt()
    {
        IPEndPoint http = Give(Listening());
        Give(Listening());
        InheritedSockets inherited = FromEnvironment("http:admin");

        using Socket taken = inherited.Open(http);
        inherited.Dispose();

        Assert.Equal(http, taken.LocalEndPoint);
        Assert.Equal(_first, (int)taken.Handle);
        Assert.NotEqual(-1, Fcntl(_first, 1, 0));
        Assert.Equal(-1, Fcntl(_first + 1, 1, 0));
    }

    [Fact]
    public void Open_AnotherAddress_IsANewSocket()
    {
        Give(Listening());
        using InheritedSockets inherited = FromEnvironment("http");

        using Socket made = inherited.Open(new IPEndPoint(IPAddress.Loopback, 0));

        Assert.NotEqual(_first, (int)made.Handle);
        Assert.True(made.IsBound);
    }

    /// <summary>A connection that came before the server: it waited in the socket, and is answered.</summary>
    [Fact]
    public async Task AdminServer_OnAHandedOverSocket_AnswersWhoWasThereFirst()
    {
        IPEndPoint address = Give(Listening());
        using Socket early = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await early.ConnectAsync(address, TestContext.Current.CancellationToken);
        await early.SendAsync("GET /api/ray/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        using InheritedSockets inherited = FromEnvironment("admin");
        await using AdminServer admin = new(inherited.AdminAddresses, new(new("127.0.0.1", []), null), NullLoggerFactory.Instance, null!, inherited.Open);

        await admin.StartAsync(TestContext.Current.CancellationToken);

        byte[] answer = new byte[12];
        await early.ReceiveAsync(answer, TestContext.Current.CancellationToken);
        Assert.Equal("HTTP/1.1 200"u8, answer);
        Assert.Equal([$"http://{address}"], admin.Addresses);
        await admin.StopAsync(TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task ServingListener_OnAHandedOverSocket_LeavesTheNextConnectionToTheNextServer()
    {
        IPEndPoint address = Give(Listening());
        using Socket systemds = _given[0];
        using InheritedSockets inherited = FromEnvironment("http");
        ServingListener listener = new(new(TimeProvider.System, new SeededRandom(1), ServeEnvironment.ResumeOnThreadPool, NullLoggerFactory.Instance), inherited.Open);
        await using Microsoft.AspNetCore.Connections.IConnectionListener listening = await listener.BindAsync(address, TestContext.Current.CancellationToken);
        using Socket first = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await first.ConnectAsync(address, TestContext.Current.CancellationToken);
        await using Microsoft.AspNetCore.Connections.ConnectionContext? accepted = await listening.AcceptAsync(TestContext.Current.CancellationToken);
        Assert.NotNull(accepted);

        // As Kestrel's accept loop does, until it is told that nobody comes any more.
        Task<Microsoft.AspNetCore.Connections.ConnectionContext?> last = listening.AcceptAsync(TestContext.Current.CancellationToken).AsTask();
        Assert.Equal(1, await listener.StopAcceptingAsync(static () => { }, TestContext.Current.CancellationToken));
        Assert.Null(await last);

        using Socket second = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await second.ConnectAsync(address, TestContext.Current.CancellationToken);
        using Socket next = await systemds.AcceptAsync(TestContext.Current.CancellationToken);
        Assert.Equal(second.LocalEndPoint, next.RemoteEndPoint);
    }

    private static Socket Listening()
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        socket.Listen();
        return socket;
    }

    /// <summary>As the next descriptor of the row, inheritable as systemd leaves it; the original stays open, as in systemd.</summary>
    private IPEndPoint Give(Socket socket)
    {
        Assert.Equal(-1, Fcntl(_first + _given.Count, 1, 0));
        Assert.Equal(_first + _given.Count, Dup2((int)socket.Handle, _first + _given.Count));
        _given.Add(socket);
        return socket.LocalEndPoint as IPEndPoint ?? new(IPAddress.None, 0);
    }

    private InheritedSockets FromEnvironment(string? names, int? count = null)
    {
        _variables["LISTEN_PID"] = "4242";
        _variables["LISTEN_FDS"] = (count ?? _given.Count).ToString(System.Globalization.CultureInfo.InvariantCulture);
        if (names is not null)
        {
            _variables["LISTEN_FDNAMES"] = names;
        }

        return InheritedSockets.FromEnvironment(Get, Unset, ProcessId, _logger, _first);
    }

    private string? Get(string name) => _variables.GetValueOrDefault(name);

    private void Unset(string name) => _variables.Remove(name);

    private int Logged(int id) => _logger.Collector.GetSnapshot().Count(r => r.Id.Id == id);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Dup2(int descriptor, int copy);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Fcntl(int descriptor, int command, int argument);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
