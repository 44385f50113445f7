using System.Net;
using System.Net.Sockets;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>The server has no descriptor for a connection to a worker, or nobody is there to take it.</summary>
public sealed class WorkerConnectorTests : IDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly TcpListener _worker = new(IPAddress.Loopback, 0);
    private int _failures;

    public WorkerConnectorTests() => _worker.Start();

    [Fact]
    public async Task ConnectAsync_NoDescriptorForAMoment_WaitsForOne()
    {
        _failures = 3;
        Task<WorkerConnection> connecting = Connector().ConnectAsync(TestServer.Deadline).AsTask();

        await _time.WhenArmedAsync(1, TestServer.Deadline);
        await _time.PassUntilAsync(connecting, TimeSpan.FromMilliseconds(50), TestServer.Deadline);

        using WorkerConnection connection = await connecting;
        Assert.Equal(0, _failures);
    }

    [Fact]
    public async Task ConnectAsync_NoDescriptorForLong_SaysThatItIsNotTheWorkers()
    {
        _failures = int.MaxValue;
        Task<WorkerConnection> connecting = Connector().ConnectAsync(TestServer.Deadline).AsTask();

        WorkerFailedException failure = await Assert.ThrowsAsync<WorkerFailedException>(() => _time.PassUntilAsync(connecting, TimeSpan.FromMilliseconds(50), TestServer.Deadline));

        Assert.True(failure.ServerIsShort);
        Assert.False(failure.CanRepeat);
        Assert.Equal("The worker could not be reached: the server can have no more files and connections open (ulimit -n, LimitNOFILE=).", failure.Message);
    }

    /// <summary>Who has no port left for its own end says nothing of who listens at the other.</summary>
    [Theory]
    [InlineData(SocketError.ConnectionRefused, 1)]
    [InlineData(SocketError.AddressNotAvailable, 0)]
    public async Task ConnectAsync_Port_IsRefusedOnlyByWhoListensThere(SocketError error, int refused)
    {
        int told = 0;
        WorkerConnector connector = new(_worker.LocalEndpoint, _time, EventLoops.For(onEventThreads: false)) { NewSocket = _ => throw new SocketException((int)error), OnRefused = () => told++ };

        await Assert.ThrowsAsync<WorkerFailedException>(async () => await connector.ConnectAsync(TestServer.Deadline));

        Assert.Equal(refused, told);
    }

    [Fact]
    public async Task ConnectAsync_UnixSocketIsGone_IsRefused()
    {
        int told = 0;
        UnixDomainSocketEndPoint gone = new(Path.Combine(Path.GetTempPath(), $"serve-gone-{Path.GetRandomFileName()}"));
        WorkerConnector connector = new(gone, _time, EventLoops.For(onEventThreads: false)) { OnRefused = () => told++ };

        await Assert.ThrowsAsync<WorkerFailedException>(async () => await connector.ConnectAsync(TestServer.Deadline));

        Assert.Equal(1, told);
    }

    public void Dispose() => _worker.Dispose();

    private WorkerConnector Connector() => new(_worker.LocalEndpoint, _time, EventLoops.For(onEventThreads: false))
    {
        NewSocket = family => _failures-- > 0 ? throw new SocketException((int)SocketError.TooManyOpenSockets) : Made(family),
    };

    private Socket Made(AddressFamily family)
    {
        _failures = 0;
        return new(family, SocketType.Stream, ProtocolType.Tcp);
    }
}
