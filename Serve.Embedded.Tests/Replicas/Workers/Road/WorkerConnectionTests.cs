using System.Net.Sockets;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

public sealed class WorkerConnectionTests : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly TempFolder _folder = new();

    /// <summary>One connects at a time, so that who is accepted is who has connected.</summary>
    private readonly SemaphoreSlim _turn = new(1);

    public WorkerConnectionTests()
    {
        _listener.Bind(new UnixDomainSocketEndPoint(Path.Combine(_folder.Path, "s")));
        _listener.Listen(16);
    }

    public void Dispose()
    {
        _listener.Dispose();
        _folder.Dispose();
        _turn.Dispose();
    }

    /// <summary>A worker that sends without end: who receives from it lets others have the thread now and then.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task TryReceive_WorkerNeverPauses_LetsOthersHaveTheThreadAfterATurn(bool onOwnThreads)
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads);
        using (connection)
        using (worker)
        {
            int turns = 0;
            long received = 0;
            while (received < 1024 * 1024)
            {
                await worker.SendAsync(new byte[4 * 1024], TestServer.Deadline);
                int count = connection.TryReceive();
                if (count < 0)
                {
                    await connection.WaitAsync();
                    await Task.Yield();
                    turns++;
                    continue;
                }

                received += count;
                connection.Consume(count);
            }

            // Those that wait for the first bytes to be told are few; those in between are the turns.
            Assert.True(turns >= 3, $"{turns}");
        }
    }

    [Fact]
    public async Task IsUsable_WhatWasToldWasReadAlready_StaysUsable()
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        using (worker)
        {
            for (int i = 0; i < 200; i++)
            {
                // Two pieces, and so two events, of which the second may be told after both were read.
                await worker.SendAsync(new byte[10], TestServer.Deadline);
                await worker.SendAsync(new byte[10], TestServer.Deadline);
                for (int received = 0; received < 20;)
                {
                    int count = await LoopThread.ElsewhereAsync(connection.ReceiveAsync());
                    received += count;
                    connection.Consume(count);
                }

                Assert.True(connection.IsUsable(sendsSoon: false));
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task IsUsable_WorkerHasSpokenUnasked_IsNot(bool closes)
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        using (worker)
        {
            if (closes)
            {
                worker.Shutdown(SocketShutdown.Both);
            }
            else
            {
                await worker.SendAsync(new byte[1], TestServer.Deadline);
            }

            Assert.False(connection.IsUsable(sendsSoon: false));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Abort_SomebodyWaits_IsWoken(bool onOwnThreads)
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads);
        using (worker)
        {
            Task<int> receiving = LoopThread.ElsewhereAsync(connection.ReceiveAsync());

            connection.Abort();

            await Assert.ThrowsAnyAsync<ObjectDisposedException>(() => receiving.WaitAsync(TestServer.Deadline));
        }
    }

    [Fact]
    public async Task SendSoon_OnALoop_IsSentAtTheEndOfTheTurn()
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        EventLoop loop = connection.Loop;
        using (connection)
        using (worker)
        {
            connection.Out.Write("hello"u8);
            await LoopThread.RunAsync(loop, () =>
            {
                Assert.True(connection.SendSoonAsync(isKept: true, canRepeat: true).AsTask().IsCompletedSuccessfully);
                Assert.Equal(0, connection.Sent);
            });

            byte[] received = new byte[10];
            Assert.Equal(5, await worker.ReceiveAsync(received, TestServer.Deadline));
            Assert.Equal("hello"u8, received.AsSpan(0, 5));
            Assert.True(connection.HasSent);
        }
    }

    [Fact]
    public async Task SendSoon_OnAnotherLoop_IsSentAtOnce()
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        using (worker)
        {
            connection.Out.Write("hello"u8);
            await LoopThread.RunAsync(new(0, continuesHere: true), () =>
            {
                Assert.True(connection.SendSoonAsync(isKept: true, canRepeat: true).AsTask().IsCompletedSuccessfully);
                Assert.Equal(5, connection.Sent);
            });
        }
    }

    /// <summary>On a kept connection that is known before, and on a new one when nothing can be sent.</summary>
    [Theory]
    [InlineData(true, typeof(ConnectionLostException))]
    [InlineData(false, typeof(SocketException))]
    public async Task SendSoon_WorkerIsGone_IsToldToWhoReceives(bool isKept, Type expected)
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        {
            worker.Dispose();
            connection.Out.Write("hello"u8);
            Task<int>? receiving = null;
            await LoopThread.RunAsync(connection.Loop, () =>
            {
                Assert.True(connection.SendSoonAsync(isKept, canRepeat: true).AsTask().IsCompletedSuccessfully);
                receiving = LoopThread.ElsewhereAsync(connection.ReceiveAsync());
            });

            await Assert.ThrowsAsync(expected, () => receiving!);
            Assert.Equal(0, connection.Sent);
            Assert.False(connection.IsUsable(sendsSoon: false));
        }
    }

    /// <summary>What it says then would pass for the answer.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task SendSoon_WorkerSpeaksInTheSameTurn_NothingIsSent(bool closes)
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        using (worker)
        {
            connection.Out.Write("hello"u8);
            Task<int>? receiving = null;
            await LoopThread.RunAsync(connection.Loop, () =>
            {
                Assert.True(connection.IsUsable(sendsSoon: true));
                Assert.True(connection.SendSoonAsync(isKept: true, canRepeat: true).AsTask().IsCompletedSuccessfully);
                receiving = LoopThread.ElsewhereAsync(connection.ReceiveAsync());
                if (closes)
                {
                    worker.Shutdown(SocketShutdown.Send);
                }
                else
                {
                    worker.Send(new byte[1]);
                }
            });

            await Assert.ThrowsAsync<ConnectionLostException>(() => receiving!);
            Assert.Equal((0L, 0L), (connection.Sent, connection.Received));
            Assert.True(connection.HasSent);
        }
    }

    /// <summary>The loop has looked, and then sends for many: for what may be sent once only, the socket is asked at the last moment.</summary>
    [Fact]
    public async Task SendSoon_WorkerClosesAfterTheLoopHasLooked_NothingIsSentThatCannotBeRepeated()
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        using (worker)
        {
            connection.Out.Write("hello"u8);
            Task<int>? receiving = null;
            await LoopThread.RunAsync(connection.Loop, () =>
            {
                connection.Loop.AtEndOfTurn(new Left(() => worker.Shutdown(SocketShutdown.Send)));
                Assert.True(connection.SendSoonAsync(isKept: true, canRepeat: false).AsTask().IsCompletedSuccessfully);
                receiving = LoopThread.ElsewhereAsync(connection.ReceiveAsync());
            });

            await Assert.ThrowsAsync<ConnectionLostException>(() => receiving!);
            Assert.Equal(0, connection.Sent);
        }
    }

    /// <summary>Both are told in the same turn, first of a client's request, which takes the connection, and then of what the worker has said.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task SendSoon_WorkerHasSpokenInTheTurnOfTheRequest_NothingIsSent(bool othersAreLeft)
    {
        EventLoop loop = new(0, continuesHere: true);
        (WorkerConnection connection, Socket worker) = await ConnectAsync(loop);
        (WorkerConnection client, Socket clientSide) = await ConnectAsync(loop);
        using (connection)
        using (worker)
        using (client)
        using (clientSide)
        {
            connection.Out.Write("hello"u8);
            Task<int?> answer = RequestAsync();
            await LoopThread.RunAsync(loop, () =>
            {
                clientSide.Send(new byte[1]);
                worker.Send(new byte[1]);
                if (othersAreLeft)
                {
                    loop.AtEndOfTurn(new Nothing());
                }
            });

            await answer;
            Assert.Equal(0L, connection.Sent);
            Assert.Equal(0L, connection.Received);

            async Task<int?> RequestAsync()
            {
                try
                {
                    await client.ReceiveAsync().ConfigureAwait(false);
                    Assert.Same(loop, EventLoop.Current);
                    if (!connection.IsUsable(sendsSoon: true))
                    {
                        return null;
                    }

                    await connection.SendSoonAsync(isKept: true, canRepeat: true);
                    return await connection.ReceiveAsync().ConfigureAwait(false);
                }
                catch (ConnectionLostException)
                {
                    return null;
                }
                finally
                {
                    await Task.Yield();
                }
            }
        }
    }

    /// <summary>There are servers that refuse a connection with a response before they have read anything.</summary>
    [Fact]
    public async Task SendSoon_WorkerSpeaksFirstOnANewConnection_IsItsAnswer()
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        using (worker)
        {
            connection.Out.Write("hello"u8);
            Task<int>? receiving = null;
            await LoopThread.RunAsync(connection.Loop, () =>
            {
                Assert.True(connection.SendSoonAsync(isKept: false, canRepeat: true).AsTask().IsCompletedSuccessfully);
                receiving = LoopThread.ElsewhereAsync(connection.ReceiveAsync());
                worker.Send(new byte[1]);
            });

            Assert.Equal(1, await receiving!);
            Assert.Equal(5, connection.Sent);
        }
    }

    /// <summary>More others have something new, and were first, than are told in a turn, or than one look shows.</summary>
    [Theory]
    [InlineData(40, true)]
    [InlineData(40, false)]
    [InlineData(300, true)]
    [InlineData(300, false)]
    public async Task SendSoon_WorkerSpeaksBehindMany_NothingIsSent(int many, bool closes)
    {
        EventLoop loop = new(0, continuesHere: true);
        List<(WorkerConnection Connection, Socket Worker)> others = [];
        for (int i = 0; i < many; i++)
        {
            others.Add(await ConnectAsync(loop));
        }

        (WorkerConnection connection, Socket worker) = await ConnectAsync(loop);
        using (connection)
        using (worker)
        {
            connection.Out.Write("hello"u8);
            Task<int>? receiving = null;
            await LoopThread.RunAsync(loop, () =>
            {
                Assert.True(connection.IsUsable(sendsSoon: true));
                Assert.True(connection.SendSoonAsync(isKept: true, canRepeat: true).AsTask().IsCompletedSuccessfully);
                receiving = LoopThread.ElsewhereAsync(connection.ReceiveAsync());
                foreach ((_, Socket other) in others)
                {
                    other.Send(new byte[1]);
                }

                if (closes)
                {
                    worker.Shutdown(SocketShutdown.Send);
                }
                else
                {
                    worker.Send(new byte[1]);
                }
            });

            await Assert.ThrowsAsync<ConnectionLostException>(() => receiving!);
            Assert.Equal((0L, 0L), (connection.Sent, connection.Received));
        }

        foreach ((WorkerConnection other, Socket side) in others)
        {
            other.Dispose();
            side.Dispose();
        }
    }

    /// <summary>A request that ends within the turn in which it began.</summary>
    [Fact]
    public async Task SendSoon_AbortedBefore_NothingIsSent()
    {
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        EventLoop loop = connection.Loop;
        using (worker)
        {
            connection.Out.Write("hello"u8);
            await LoopThread.RunAsync(loop, () =>
            {
                Assert.True(connection.SendSoonAsync(isKept: true, canRepeat: true).AsTask().IsCompletedSuccessfully);
                connection.Abort();
            });

            Assert.Equal(0, await worker.ReceiveAsync(new byte[10], TestServer.Deadline));

            // The loop goes on.
            await LoopThread.RunAsync(loop, static () => { });
        }
    }

    [Fact]
    public async Task SendSoon_WorkerDoesNotRead_TheRestIsSentWhenItDoes()
    {
        const int Large = 4 * 1024 * 1024;
        (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: true);
        using (connection)
        using (worker)
        {
            connection.Out.Write(new byte[Large]);
            EventLoop loop = connection.Loop;
            await LoopThread.RunAsync(loop, () => Assert.True(connection.SendSoonAsync(isKept: true, canRepeat: true).AsTask().IsCompletedSuccessfully));

            // In a later turn.
            await LoopThread.RunAsync(loop, static () => { });
            Assert.False(connection.HasSent);

            byte[] room = new byte[64 * 1024];
            for (int received = 0; received < Large;)
            {
                received += await worker.ReceiveAsync(room, TestServer.Deadline);
            }

            await TestServer.UntilAsync(() => connection.HasSent);
        }
    }

    /// <summary>Closed sockets' numbers are used again at once: what was on its way to an old connection must not reach the new one as its own.</summary>
    [Fact]
    public async Task EventLoops_ManyConnectionsComeAndGo_EachHearsOfItsOwn()
    {
        const int Seed = 7;
        Random random = new(Seed);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async lane =>
        {
            Random own = new(Seed + lane);
            for (int i = 0; i < 300; i++)
            {
                (WorkerConnection connection, Socket worker) = await ConnectAsync(onOwnThreads: own.Next(2) == 0);
                using (connection)
                using (worker)
                {
                    byte mark = (byte)own.Next(256);
                    Task<int> receiving = LoopThread.ElsewhereAsync(connection.ReceiveAsync());
                    await worker.SendAsync(new[] { mark }, TestServer.Deadline);
                    Assert.Equal(1, await receiving.WaitAsync(TestServer.Deadline));
                    Assert.Equal(mark, connection.UnreadSpan[0]);
                    if (own.Next(2) == 0)
                    {
                        // Something is on its way when it is closed.
                        await worker.SendAsync(new[] { mark }, TestServer.Deadline);
                    }
                }
            }
        }));
    }

    private Task<(WorkerConnection Connection, Socket Worker)> ConnectAsync(bool onOwnThreads) => ConnectAsync(EventLoops.For(onOwnThreads).Emptiest);

    private async Task<(WorkerConnection Connection, Socket Worker)> ConnectAsync(EventLoop loop)
    {
        Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await _turn.WaitAsync(TestServer.Deadline);
        try
        {
            Task<Socket> accepting = _listener.AcceptAsync(TestServer.Deadline).AsTask();
            await client.ConnectAsync(_listener.LocalEndPoint!, TestServer.Deadline);
            return (new(client, loop), await accepting);
        }
        finally
        {
            _turn.Release();
        }
    }

    private sealed class Nothing : IThreadPoolWorkItem
    {
        public void Execute()
        {
        }
    }

    private sealed class Left(Action act) : IThreadPoolWorkItem
    {
        public void Execute() => act();
    }
}
