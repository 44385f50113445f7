using System.Net.Sockets;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Wire;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Replicas;

public sealed class EventLoopsTests
{
    private static readonly EventLoops Others = new(count: 3, continuesHere: true);

    [Fact]
    public void Emptiest_ConnectionsComeAndGo_IsTheOneWithTheFewest()
    {
        EventLoops loops = new(count: 3, continuesHere: true);
        List<(EventLoop Loop, ulong Registration)> added = [.. Enumerable.Range(0, 9).Select(_ => Add(loops.Emptiest, NewSocket()))];

        Assert.All(added.GroupBy(a => a.Loop), g => Assert.Equal(3, g.Count()));

        EventLoop left = added[4].Loop;
        left.Remove(added[4].Registration);
        Assert.Same(left, loops.Emptiest);

        // What has been removed is removed once.
        left.Remove(added[4].Registration);
        Assert.Equal(2, left.Count);
    }

    [Fact]
    public async Task Here_OnALoopsThread_IsThatLoop()
    {
        EventLoops loops = new(count: 2, continuesHere: true);
        EventLoop loop = loops.Emptiest;
        Assert.Null(EventLoop.Current);
        using Socket socket = NewSocket();
        ReadSignal signal = new(continuesHere: true);
        TaskCompletionSource<(EventLoop Here, EventLoop Elsewhere)> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task running = SeeAsync();

        // A socket that was never connected is told of at once, as one whose other side has hung up.
        loop.Add(socket, signal);
        (EventLoop here, EventLoop elsewhere) = await seen.Task;

        Assert.Same(loop, here);

        // There it is nobody's.
        Assert.NotSame(loop, elsewhere);
        await running;

        async Task SeeAsync()
        {
            await signal.WaitAsync().ConfigureAwait(false);
            seen.SetResult((loops.Here, Others.Here));
        }
    }

    /// <summary>There are servers that carry on one connection at a time, and leave another to wait for as long as that one is open.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("x-session-id: a\r\n")]
    public async Task Send_KeptConnectionIsAnotherLoops_IsTaken(string header)
    {
        HashSet<int> used = [];
        await using ScriptedWorker worker = new(async side =>
        {
            while (true)
            {
                await side.ReadHeadAsync();
                used.Add(side.Index);
                await side.AnswerAsync("fine");
            }
        });
        await using TestServer server = await WorkerInTest.StartAsync(worker);

        for (int i = 0; i < 16; i++)
        {
            // It stays open, so that the next one goes to another loop.
            RawConnection client = await server.ConnectAsync();
            await client.SendAsync($"GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n");
            await client.ReadUntilAsync("fine");
        }

        Assert.Single(used);
    }

    private static Socket NewSocket() => new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    private static (EventLoop Loop, ulong Registration) Add(EventLoop loop, Socket socket) => (loop, loop.Add(socket, new(continuesHere: true)));
}
