using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Serve.Embedded.Proxy;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Proxy.Connections;

public sealed class ClientConnectionTests : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private Socket? _accepted;

    public ClientConnectionTests()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
    }

    public void Dispose() => _listener.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ReadAsync_SomethingComesNowOrLater_IsRead(bool onEventThreads)
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads);
        using (client)
        {
            for (byte i = 0; i < 100; i++)
            {
                Task<ReadResult>? waiting = i % 2 == 0 ? ReadAsync(connection) : null;
                await client.SendAsync(new[] { i }, TestServer.Deadline);
                ReadResult read = await (waiting ?? ReadAsync(connection));
                Assert.Equal(i, read.Buffer.FirstSpan[0]);
                Assert.Equal(1, read.Buffer.Length);
                connection.Input.AdvanceTo(read.Buffer.End);
                Assert.False(connection.Input.TryRead(out _));
            }

            await connection.DisposeAsync();
        }
    }

    /// <summary>A client that never pauses: who handles its requests goes on in the thread pool now and then.</summary>
    [Fact]
    public async Task ReadAsync_ATurnIsOver_GoesOnElsewhere()
    {
        const int Sent = 160 * 1024;
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true, receiveBuffer: 1024 * 1024);
        using (client)
        {
            client.Send(new byte[Sent]);
            while (_accepted!.Available < Sent)
            {
                await Task.Yield();
            }

            // It must have been told of it, or the first read waits for that.
            ReadResult told;
            while (!connection.Input.TryRead(out told))
            {
                await Task.Yield();
            }

            connection.Input.AdvanceTo(told.Buffer.Start);

            Assert.Equal(2, CountTurns(connection, Sent));
            await connection.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task CancelPendingRead_SomebodyWaitsOrWillRead_IsToldOnce(bool waits)
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        {
            Task<ReadResult>? waiting = waits ? ReadAsync(connection) : null;

            connection.Input.CancelPendingRead();

            ReadResult canceled = await (waiting ?? ReadAsync(connection));
            Assert.True(canceled.IsCanceled);
            connection.Input.AdvanceTo(canceled.Buffer.End);
            Task<ReadResult> next = ReadAsync(connection);
            await client.SendAsync(new byte[3], TestServer.Deadline);
            ReadResult read = await next;
            Assert.False(read.IsCanceled);
            Assert.Equal(3, read.Buffer.Length);
            await connection.DisposeAsync();
        }
    }

    /// <summary>The word that calls a reader off is not taken for the news that there is something to receive.</summary>
    [Fact(Timeout = 60_000)]
    public async Task CancelPendingRead_JustAsTheReaderLooks_IsTold()
    {
        const int Times = 50_000;
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        {
            int told = 0;
            Task reader = Task.Run(async () =>
            {
                while (Volatile.Read(ref told) < Times)
                {
                    ReadResult read = await connection.Input.ReadAsync(TestContext.Current.CancellationToken);
                    Assert.True(read.IsCanceled);
                    connection.Input.AdvanceTo(read.Buffer.End);
                    Interlocked.Increment(ref told);
                }
            }, TestContext.Current.CancellationToken);
            for (int i = 0; i < Times; i++)
            {
                connection.Input.CancelPendingRead();
                SpinWait spin = default;
                while (Volatile.Read(ref told) <= i)
                {
                    TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
                    spin.SpinOnce(sleep1Threshold: -1);
                }
            }

            await reader;
            await connection.DisposeAsync();
        }
    }

    [Fact]
    public async Task ReadAsync_ItsTokenIsCancelled_ThrowsAndTheNextReadWorks()
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        {
            using CancellationTokenSource cancellation = new();
            Task<ReadResult> waiting = LoopThread.ElsewhereAsync(connection.Input.ReadAsync(cancellation.Token));

            await cancellation.CancelAsync();

            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(TestServer.Deadline));
            await client.SendAsync(new byte[3], TestServer.Deadline);
            Assert.Equal(3, (await ReadAsync(connection)).Buffer.Length);
            await connection.DisposeAsync();
        }
    }

    /// <summary>Who handles a request hears that its client has left, though part of what that sent was never read; and it can still be read.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(30_000)]
    public async Task ConnectionClosed_ClientLeavesWhileNobodyReads_IsCancelled(int unread)
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        {
            await SendAllAsync(client, new byte[unread]);
            client.Shutdown(SocketShutdown.Send);

            await CancelledAsync(connection.ConnectionClosed);

            long read = 0;
            while (true)
            {
                ReadResult result = await ReadAsync(connection);
                read += result.Buffer.Length;
                connection.Input.AdvanceTo(result.Buffer.End);
                if (result.IsCompleted)
                {
                    break;
                }
            }

            Assert.Equal(unread, read);
            await connection.DisposeAsync();
        }
    }

    /// <summary>What is received unasked has a bound: the rest stays with the client until somebody reads.</summary>
    [Fact]
    public async Task ConnectionClosed_MoreIsUnreadThanIsReceivedAhead_IsCancelledOnceItIsRead()
    {
        const int Much = 3 * 1024 * 1024;
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true, receiveBuffer: Much);
        using (client)
        {
            Task sending = SendAllAsync(client, new byte[Much]).ContinueWith(_ => client.Shutdown(SocketShutdown.Send), TaskScheduler.Default);
            for (long read = 0; read < Much;)
            {
                Assert.False(connection.ConnectionClosed.IsCancellationRequested && read < Much - (1100 * 1024), "It was received far ahead.");
                ReadResult result = await ReadAsync(connection);
                Assert.True(result.Buffer.Length <= 1100 * 1024);
                read += result.Buffer.Length;
                connection.Input.AdvanceTo(result.Buffer.End);
            }

            Assert.True((await ReadAsync(connection)).IsCompleted);
            await CancelledAsync(connection.ConnectionClosed);
            await sending;
            await connection.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ReadAsync_ClientResets_Throws(bool waits)
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        Task<ReadResult>? waiting = waits ? ReadAsync(connection) : null;

        client.Close(timeout: 0);

        await CancelledAsync(connection.ConnectionClosed);
        await Assert.ThrowsAsync<ConnectionResetException>(() => waiting ?? ReadAsync(connection));
        await connection.DisposeAsync();
    }

    [Fact]
    public async Task Abort_OneReadsAndOneFlushes_BothGoOnAndTheClientIsReset()
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        {
            Task<ReadResult> reading = ReadAsync(connection);
            Task<FlushResult> flushing = FillAsync(connection, TestServer.Deadline);

            connection.Abort(new("It was time."));

            await Assert.ThrowsAsync<ConnectionAbortedException>(() => reading);
            Assert.True((await flushing.WaitAsync(TestServer.Deadline)).IsCompleted);
            await CancelledAsync(connection.ConnectionClosed);
            await connection.DisposeAsync();
            SocketException reset = await Assert.ThrowsAsync<SocketException>(async () =>
            {
                byte[] buffer = new byte[1024 * 1024];
                while (await client.ReceiveAsync(buffer, TestServer.Deadline) > 0)
                {
                }
            });
            Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        }
    }

    [Fact]
    public async Task FlushAsync_ClientHasGone_SaysThatNobodyReads()
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        client.Close(timeout: 0);
        await CancelledAsync(connection.ConnectionClosed);

        FlushResult result = default;
        for (int i = 0; i < 2 && !result.IsCompleted; i++)
        {
            result = await connection.Output.WriteAsync(new byte[100], TestServer.Deadline);
        }

        Assert.True(result.IsCompleted);
        Assert.Equal(0, connection.Output.UnflushedBytes);
        await connection.DisposeAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task FlushAsync_IsNotLetWait_EverythingIsSentAllTheSameAndInOrder(bool byToken)
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        {
            using CancellationTokenSource cancellation = new();
            Task<FlushResult> flushing = FillAsync(connection, cancellation.Token);
            if (byToken)
            {
                await cancellation.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => flushing.WaitAsync(TestServer.Deadline));
            }
            else
            {
                connection.Output.CancelPendingFlush();
                Assert.True((await flushing.WaitAsync(TestServer.Deadline)).IsCanceled);
            }

            // Behind what still waits, and never flushed.
            connection.Output.GetSpan(3)[..3].Fill(7);
            connection.Output.Advance(3);
            ValueTask disposing = connection.DisposeAsync();

            byte[] buffer = new byte[1024 * 1024];
            byte last = 0;
            int count;
            List<byte> tail = [];
            while ((count = await client.ReceiveAsync(buffer, TestServer.Deadline)) > 0)
            {
                tail.AddRange(buffer.AsSpan(0, count)[^Math.Min(count, 4)..]);
                last = buffer[count - 1];
            }

            Assert.Equal(7, last);
            Assert.Equal([7, 7, 7], tail[^3..]);
            await disposing;
        }
    }

    /// <summary>Linux resets a connection that is closed with something unread, and drops what it had not delivered yet.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task DisposeAsync_SomethingIsUnread_TheClientStillGetsAllThatWasSent(bool byAbort)
    {
        const int Much = 200_000;
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        {
            await SendAllAsync(client, new byte[9000]);
            while (_accepted!.Available < 9000)
            {
                await Task.Yield();
            }

            await connection.Output.WriteAsync(new byte[Much], TestServer.Deadline);
            if (byAbort)
            {
                // What Kestrel does when the client has sent its end.
                connection.Abort(null);
            }

            await connection.DisposeAsync();

            byte[] buffer = new byte[Much];
            int total = 0;
            int count;
            while ((count = await client.ReceiveAsync(buffer, TestServer.Deadline)) > 0)
            {
                total += count;
            }

            Assert.Equal(Much, total);
        }
    }

    /// <summary>Kestrel asks so for what a handler writes before its response has begun.</summary>
    [Fact]
    public async Task MemoryPool_NoSizeIsNamed_GivesABlock()
    {
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: true);
        using (client)
        using (IMemoryOwner<byte> memory = connection.Features.Get<IMemoryPoolFeature>()!.MemoryPool.Rent(0))
        {
            Assert.True(memory.Memory.Length >= 4096);
            await connection.DisposeAsync();
        }
    }

    /// <summary>Whatever the sizes and the pauses are, and whoever is interrupted: each side gets exactly the bytes that the other has sent.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task BothWays_RandomSizesAndInterruptions_NoByteIsLostOrAdded(int seed)
    {
        const int Total = 2_000_000;
        (ClientConnection connection, Socket client) = await ConnectAsync(onEventThreads: seed % 2 == 0);
        using (client)
        {
            await Task.WhenAll(
                Task.Run(() => SendAsync(new(seed)), TestServer.Deadline),
                Task.Run(() => TakeAsync(new(seed + 100)), TestServer.Deadline),
                Task.Run(() => WriteAsync(new(seed + 200)), TestServer.Deadline),
                Task.Run(() => ReceiveAsync(new(seed + 300)), TestServer.Deadline),
                Task.Run(() => InterruptAsync(new(seed + 400)), TestServer.Deadline));
            await connection.DisposeAsync();
        }

        async Task SendAsync(Random random)
        {
            for (int sent = 0; sent < Total;)
            {
                int size = Math.Min(Total - sent, random.Next(4) == 0 ? random.Next(1, 60_000) : random.Next(1, 300));
                await SendAllAsync(client, Pattern(sent, size));
                sent += size;
            }
        }

        async Task TakeAsync(Random random)
        {
            for (int read = 0; read < Total;)
            {
                ReadResult result = random.Next(2) == 0 ? await ReadAsync(connection) : await LoopThread.ElsewhereAsync(connection.Input.ReadAsync(TestServer.Deadline));
                long take = random.Next(3) == 0 ? random.NextInt64(result.Buffer.Length + 1) : result.Buffer.Length;
                int at = read;
                foreach (ReadOnlyMemory<byte> piece in result.Buffer.Slice(0, take))
                {
                    Assert.Equal(Pattern(at, piece.Length), piece.ToArray());
                    at += piece.Length;
                }

                read += (int)take;
                connection.Input.AdvanceTo(result.Buffer.GetPosition(take));
            }
        }

        async Task WriteAsync(Random random)
        {
            for (int written = 0; written < Total;)
            {
                for (int pieces = random.Next(1, 4); pieces > 0 && written < Total; pieces--)
                {
                    int size = Math.Min(Total - written, random.Next(4) == 0 ? random.Next(1, 100_000) : random.Next(1, 300));
                    Pattern(written, size).CopyTo(connection.Output.GetMemory(size));
                    connection.Output.Advance(size);
                    written += size;
                }

                await connection.Output.FlushAsync(TestServer.Deadline);
            }
        }

        async Task ReceiveAsync(Random random)
        {
            byte[] buffer = new byte[100_000];
            for (int received = 0; received < Total;)
            {
                int count = await client.ReceiveAsync(buffer.AsMemory(0, random.Next(1, buffer.Length)), TestServer.Deadline);
                Assert.NotEqual(0, count);
                Assert.Equal(Pattern(received, count), buffer[..count]);
                received += count;
            }
        }

        async Task InterruptAsync(Random random)
        {
            for (int i = 0; i < 300; i++)
            {
                if (random.Next(2) == 0)
                {
                    connection.Input.CancelPendingRead();
                }
                else
                {
                    connection.Output.CancelPendingFlush();
                }

                await Task.Yield();
            }
        }
    }

    private static int CountTurns(ClientConnection connection, int bytes)
    {
        Elsewhere elsewhere = new();
        SynchronizationContext? before = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(elsewhere);
        try
        {
            int turns = 0;
            while (bytes > 0)
            {
                Task<ReadResult> reading = connection.Input.ReadAsync().AsTask();
                if (!reading.IsCompleted)
                {
                    turns++;
                    Action rest = Assert.Single(elsewhere.Posted);
                    elsewhere.Posted.Clear();
                    rest();
                }

                Assert.True(reading.IsCompletedSuccessfully);
                ReadResult read = reading.Result;
                bytes -= (int)read.Buffer.Length;
                connection.Input.AdvanceTo(read.Buffer.End);
            }

            return turns;
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    /// <summary>As Kestrel reads: without a token.</summary>
    private static Task<ReadResult> ReadAsync(ClientConnection connection) => LoopThread.ElsewhereAsync(connection.Input.ReadAsync()).WaitAsync(TestServer.Deadline);

    private static byte[] Pattern(int from, int count)
    {
        byte[] bytes = new byte[count];
        for (int i = 0; i < count; i++)
        {
            bytes[i] = (byte)((from + i) * 31 >> 3);
        }

        return bytes;
    }

    /// <summary>Writes more than the kernel takes.</summary>
    private static Task<FlushResult> FillAsync(ClientConnection connection, CancellationToken cancellationToken = default)
    {
        Task<FlushResult> flushing;
        do
        {
            flushing = connection.Output.WriteAsync(new byte[256 * 1024], cancellationToken).AsTask();
        }
        while (flushing.IsCompleted);
        return flushing;
    }

    private static async Task SendAllAsync(Socket client, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await client.SendAsync(bytes, TestServer.Deadline)..];
        }
    }

    private static async Task CancelledAsync(CancellationToken token)
    {
        TaskCompletionSource cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using CancellationTokenRegistration registration = token.Register(cancelled.SetResult);
        await cancelled.Task.WaitAsync(TestServer.Deadline);
    }

    private async Task<(ClientConnection Connection, Socket Client)> ConnectAsync(bool onEventThreads, int receiveBuffer = 0)
    {
        if (receiveBuffer > 0)
        {
            _listener.ReceiveBufferSize = receiveBuffer;
        }

        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await client.ConnectAsync(_listener.LocalEndPoint!, TestServer.Deadline);
        _accepted = await _listener.AcceptAsync(TestServer.Deadline);
        _accepted.Blocking = false;
        return (new(_accepted, EventLoops.For(onEventThreads).Emptiest), client);
    }

    private sealed class Elsewhere : SynchronizationContext
    {
        public List<Action> Posted { get; } = [];

        public override void Post(SendOrPostCallback callback, object? state) => Posted.Add(() => callback(state));
    }
}
