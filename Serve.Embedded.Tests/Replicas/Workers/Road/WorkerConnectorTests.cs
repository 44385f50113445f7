using System.Net;
using System.Net.Sockets;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>The server has no descriptor for a connection to a worker.</summary>
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
