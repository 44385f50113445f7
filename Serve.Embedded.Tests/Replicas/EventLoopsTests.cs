using System.Net.Sockets;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Wire;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Replicas;

public sealed class EventLoopsTests
{
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
        EventLoops others = new(count: 3, continuesHere: true);
        EventLoop loop = loops.Emptiest;
        Assert.Null(EventLoop.Current);

        await LoopThread.RunAsync(loop, () =>
        {
            Assert.Same(loop, loops.Here);
            Assert.Same(loop, loops.Current);
            Assert.Null(others.Current);
        });
    }

    /// <summary>What is left does not keep the loop from what has come meanwhile, however much it leaves in turn.</summary>
    [Fact]
    public async Task AtEndOfTurn_LeavesMoreEachTime_OthersAreHeard()
    {
        EventLoop loop = new(0, continuesHere: true);
        using Left left = new(loop);

        await LoopThread.RunAsync(loop, () =>
        {
            loop.AtEndOfTurn(left);
            Assert.Equal(0, left.Count);
        });

        // It goes on for ever, and this is heard all the same.
        await LoopThread.RunAsync(loop, () => Assert.NotEqual(0, left.Count));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task TakeOver_SomethingComesBeforeOrAfterIt_IsToldThere(bool before)
    {
        EventLoop one = new(0, continuesHere: true);
        EventLoop other = new(1, continuesHere: true);
        (Socket socket, Socket peer) = await SocketPair.ConnectAsync();
        using (socket)
        using (peer)
        {
            ReadSignal signal = new(continuesHere: true);
            ulong registration = one.Add(socket, signal);
            if (before)
            {
                await peer.SendAsync(new byte[1], TestServer.Deadline);
                await signal.WaitAsync();
                await Task.Yield();
                Assert.True(signal.TryTake());
            }

            registration = other.TakeOver(one, registration, socket, signal);
            TaskCompletionSource<EventLoop?> toldBy = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _ = SeeAsync();
            if (!before)
            {
                await peer.SendAsync(new byte[1], TestServer.Deadline);
            }

            EventLoop? teller = await toldBy.Task;
            if (!before)
            {
                Assert.Same(other, teller);
            }

            Assert.Equal(0, one.Count);
            Assert.Equal(1, other.Count);
            other.Remove(registration);
            Assert.Equal(0, other.Count);

            async Task SeeAsync()
            {
                await signal.WaitAsync().ConfigureAwait(false);
                toldBy.SetResult(EventLoop.Current);
            }
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

    /// <summary>Leaves itself again, each time.</summary>
    private sealed class Left(EventLoop loop) : IThreadPoolWorkItem, IDisposable
    {
        private int _count;
        private bool _ended;

        public int Count => Volatile.Read(ref _count);

        public void Execute()
        {
            Interlocked.Increment(ref _count);
            if (!Volatile.Read(ref _ended))
            {
                loop.AtEndOfTurn(this);
            }
        }

        public void Dispose() => Volatile.Write(ref _ended, true);
    }
}
