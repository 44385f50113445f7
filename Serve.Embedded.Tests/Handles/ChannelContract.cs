using System.Threading.Channels;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

/// <summary>What any bounded channel promises. It holds for .NET's own too, so the promises are theirs and not ours.</summary>
public abstract class ChannelContract
{
    private const int Capacity = 8;

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    protected abstract Channel<int> Create(int capacity);

    [Fact]
    public void TryRead_AfterWrites_FirstInFirstOut()
    {
        Channel<int> channel = Create(Capacity);
        for (int i = 0; i < Capacity; i++)
        {
            Assert.True(channel.Writer.TryWrite(i));
        }

        Assert.Equal(Enumerable.Range(0, Capacity), ReadAll(channel));
    }

    [Fact]
    public void TryRead_Empty_IsFalse()
    {
        Channel<int> channel = Create(Capacity);
        Assert.False(channel.Reader.TryRead(out _));
        Assert.Equal(0, channel.Reader.Count);
    }

    [Fact]
    public void TryWrite_Full_IsFalseUntilOneIsRead()
    {
        Channel<int> channel = Full();
        Assert.False(channel.Writer.TryWrite(99));
        Assert.Equal(Capacity, channel.Reader.Count);
        Assert.True(channel.Reader.TryRead(out int first));
        Assert.Equal(0, first);
        Assert.True(channel.Writer.TryWrite(Capacity));
        Assert.Equal(Enumerable.Range(1, Capacity), ReadAll(channel));
    }

    [Fact]
    public void WriteAndRead_ManyTimesRound_KeepOrderAndCount()
    {
        Channel<int> channel = Create(Capacity);
        SeededRandom random = new(11);
        int written = 0;
        int read = 0;
        while (read < 10_000)
        {
            for (int n = random.Next(Capacity + 1); n > 0 && channel.Writer.TryWrite(written); n--)
            {
                written++;
            }

            for (int n = random.Next(Capacity + 1); n > 0 && channel.Reader.TryRead(out int item); n--)
            {
                Assert.Equal(read, item);
                read++;
            }

            Assert.Equal(written - read, channel.Reader.Count);
        }
    }

    [Fact]
    public async Task TryComplete_Empty_CompletesAtOnceAndOnlyOnce()
    {
        Channel<int> channel = Create(Capacity);
        Assert.False(channel.Reader.Completion.IsCompleted);
        Assert.True(channel.Writer.TryComplete());
        Assert.False(channel.Writer.TryComplete());
        await channel.Reader.Completion.WaitAsync(TestEnds);
        Assert.False(channel.Writer.TryWrite(1));
        Assert.False(await channel.Reader.WaitToReadAsync(TestEnds));
        Assert.False(await channel.Writer.WaitToWriteAsync(TestEnds));
    }

    [Fact]
    public async Task TryComplete_ItemsLeft_CompletesWhenTheyAreRead()
    {
        Channel<int> channel = Create(Capacity);
        channel.Writer.TryWrite(1);
        channel.Writer.TryWrite(2);
        Assert.True(channel.Writer.TryComplete());
        Assert.True(await channel.Reader.WaitToReadAsync(TestEnds));
        Assert.True(channel.Reader.TryRead(out _));
        Assert.False(channel.Reader.Completion.IsCompleted);
        Assert.True(channel.Reader.TryRead(out int last));
        Assert.Equal(2, last);
        await channel.Reader.Completion.WaitAsync(TestEnds);
        Assert.False(await channel.Reader.WaitToReadAsync(TestEnds));
    }

    [Fact]
    public async Task TryComplete_WithAnError_ReachesReadersWritersAndCompletion()
    {
        Channel<int> channel = Create(Capacity);
        InvalidDataException error = new("broken");
        channel.Writer.TryWrite(1);
        channel.Writer.TryComplete(error);
        Assert.True(channel.Reader.TryRead(out _));
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(() => channel.Reader.Completion));
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(async () => await channel.Reader.WaitToReadAsync(TestEnds)));
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(async () => await channel.Writer.WaitToWriteAsync(TestEnds)));
        Exception? failed = await Record.ExceptionAsync(async () => await channel.Writer.WriteAsync(2, TestEnds));
        Assert.Same(error, failed is ChannelClosedException closed ? closed.InnerException : failed);
    }

    [Fact]
    public async Task TryComplete_SomebodyWaits_IsWoken()
    {
        Channel<int> empty = Create(Capacity);
        Task<bool> reader = empty.Reader.WaitToReadAsync(TestEnds).AsTask();
        empty.Writer.TryComplete();
        Assert.False(await reader.WaitAsync(TestEnds));

        Channel<int> full = Full();
        Task<bool> writer = full.Writer.WaitToWriteAsync(TestEnds).AsTask();
        InvalidDataException error = new("broken");
        full.Writer.TryComplete(error);
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(() => writer.WaitAsync(TestEnds)));
    }

    [Fact]
    public async Task WaitToReadAsync_ItemComes_AllWhoWaitAreWoken()
    {
        Channel<int> channel = Create(Capacity);
        Task<bool>[] waits = [.. Enumerable.Range(0, 3).Select(_ => channel.Reader.WaitToReadAsync(TestEnds).AsTask())];
        Assert.All(waits, w => Assert.False(w.IsCompleted));
        channel.Writer.TryWrite(1);
        Assert.All(await Task.WhenAll(waits).WaitAsync(TestEnds), Assert.True);
        Assert.True(channel.Reader.WaitToReadAsync(TestEnds).AsTask().IsCompletedSuccessfully);
    }

    [Fact]
    public async Task WaitToWriteAsync_RoomComes_AllWhoWaitAreWoken()
    {
        Channel<int> channel = Full();
        Task<bool>[] waits = [.. Enumerable.Range(0, 3).Select(_ => channel.Writer.WaitToWriteAsync(TestEnds).AsTask())];
        Assert.All(waits, w => Assert.False(w.IsCompleted));
        channel.Reader.TryRead(out _);
        Assert.All(await Task.WhenAll(waits).WaitAsync(TestEnds), Assert.True);
        Assert.True(channel.Writer.WaitToWriteAsync(TestEnds).AsTask().IsCompletedSuccessfully);
    }

    [Fact]
    public async Task WaitAsync_Cancelled_EndsThatWaitAlone()
    {
        using CancellationTokenSource leaves = new();
        Channel<int> channel = Create(Capacity);
        Task<bool> cancelled = channel.Reader.WaitToReadAsync(leaves.Token).AsTask();
        Task<bool> stays = channel.Reader.WaitToReadAsync(TestEnds).AsTask();
        await leaves.CancelAsync();
        OperationCanceledException thrown = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.WaitAsync(TestEnds));
        Assert.Equal(leaves.Token, thrown.CancellationToken);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await channel.Reader.WaitToReadAsync(leaves.Token));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await Full().Writer.WaitToWriteAsync(leaves.Token));
        Assert.False(stays.IsCompleted);
        channel.Writer.TryWrite(1);
        Assert.True(await stays.WaitAsync(TestEnds));
    }

    /// <summary>Nothing is lost or doubled, and what one writer wrote is read in its order by whoever reads it.</summary>
    [Theory]
    [InlineData(3)]
    [InlineData(20261124)]
    public async Task WriteAndRead_ManyOnBothSides_EachItemOnceAndEachWriterInOrder(int seed)
    {
        const int Writers = 3;
        const int Readers = 3;
        const int Each = 20_000;
        Channel<int> channel = Create(Capacity);
        Task[] writers = [.. Enumerable.Range(0, Writers).Select(w => Task.Run(
            async () =>
            {
                SeededRandom random = new((ulong)(seed + w));
                for (int i = 0; i < Each; i++)
                {
                    int item = (w * Each) + i;
                    if (random.Next(2) == 0)
                    {
                        await channel.Writer.WriteAsync(item, TestEnds);
                    }
                    else
                    {
                        while (!channel.Writer.TryWrite(item))
                        {
                            Assert.True(await channel.Writer.WaitToWriteAsync(TestEnds));
                        }
                    }
                }
            },
            TestEnds))];
        Task<List<int>>[] readers = [.. Enumerable.Range(0, Readers).Select(_ => Task.Run(
            async () =>
            {
                List<int> read = [];
                while (await channel.Reader.WaitToReadAsync(TestEnds))
                {
                    while (channel.Reader.TryRead(out int item))
                    {
                        read.Add(item);
                    }
                }

                return read;
            },
            TestEnds))];
        await Task.WhenAll(writers);
        channel.Writer.Complete();
        List<int>[] all = await Task.WhenAll(readers);
        await channel.Reader.Completion.WaitAsync(TestEnds);

        Assert.Equal(Enumerable.Range(0, Writers * Each), all.SelectMany(r => r).Order());
        foreach (List<int> read in all)
        {
            for (int w = 0; w < Writers; w++)
            {
                int[] ofWriter = [.. read.Where(i => i / Each == w)];
                Assert.Equal(ofWriter.Order(), ofWriter);
            }
        }
    }

    private static List<int> ReadAll(Channel<int> channel)
    {
        List<int> read = [];
        while (channel.Reader.TryRead(out int item))
        {
            read.Add(item);
        }

        return read;
    }

    private Channel<int> Full()
    {
        Channel<int> channel = Create(Capacity);
        for (int i = 0; i < Capacity; i++)
        {
            Assert.True(channel.Writer.TryWrite(i));
        }

        return channel;
    }
}

public sealed class BoundedChannelTests : ChannelContract
{
    protected override Channel<int> Create(int capacity) => Channel.CreateBounded<int>(capacity);
}

public sealed class RingChannelTests : ChannelContract
{
    protected override Channel<int> Create(int capacity) => new RingChannel<int>(capacity);

    [Theory]
    [InlineData(1, 2)]
    [InlineData(2, 2)]
    [InlineData(3, 4)]
    [InlineData(16, 16)]
    [InlineData(17, 32)]
    public void New_AnyCapacity_IsRoundedUpToAPowerOfTwo(int asked, int capacity)
    {
        RingChannel<int> channel = new(asked);
        Assert.Equal(capacity, channel.Capacity);
        for (int i = 0; i < capacity; i++)
        {
            Assert.True(channel.Writer.TryWrite(i));
        }

        Assert.False(channel.Writer.TryWrite(capacity));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(int.MaxValue)]
    public void New_ImpossibleCapacity_Throws(int capacity) => Assert.Throws<ArgumentOutOfRangeException>(() => new RingChannel<int>(capacity));

    [Fact]
    public void WriteAndRead_AllocateNothing()
    {
        RingChannel<object> channel = new(4);
        object item = new();

        Assert.Equal(0, Allocations.Of(() => WriteAndRead(10_000)));

        void WriteAndRead(int times)
        {
            for (int i = 0; i < times; i++)
            {
                channel.Writer.TryWrite(item);
                channel.Reader.TryRead(out _);
            }
        }
    }

    /// <summary>A slot that was read must not keep its item alive until the ring comes round.</summary>
    [Fact]
    public void TryRead_Item_IsNotKept()
    {
        RingChannel<object> channel = new(1024);
        WeakReference item = WriteAndRead(channel);
        GC.Collect();
        Assert.False(item.IsAlive);
        GC.KeepAlive(channel);

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static WeakReference WriteAndRead(RingChannel<object> channel)
        {
            channel.Writer.TryWrite(new object());
            channel.Reader.TryRead(out object? item);
            return new(item);
        }
    }

    /// <summary>A write that succeeds has come before the close and is read; one that comes after fails: none is lost between the two.</summary>
    [Theory]
    [InlineData(5)]
    [InlineData(20261124)]
    public async Task TryComplete_WritersGoOn_WhatWasWrittenIsReadAndThenItCompletes(int seed)
    {
        SeededRandom random = new((ulong)seed);
        for (int round = 0; round < 300; round++)
        {
            RingChannel<int> channel = new(4);
            bool closed = false;
            Task<int>[] writers = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(
                () =>
                {
                    int written = 0;
                    SpinWait spin = default;
                    while (!Volatile.Read(ref closed))
                    {
                        written += channel.Writer.TryWrite(1) ? 1 : 0;
                        spin.SpinOnce(sleep1Threshold: -1);
                    }

                    return written;
                },
                TestContext.Current.CancellationToken))];
            int read = 0;
            for (int looks = random.Next(200); looks > 0; looks--)
            {
                read += channel.Reader.TryRead(out _) ? 1 : 0;
            }

            channel.Writer.Complete();
            Volatile.Write(ref closed, true);
            while (await channel.Reader.WaitToReadAsync(TestContext.Current.CancellationToken))
            {
                read += channel.Reader.TryRead(out _) ? 1 : 0;
            }

            await channel.Reader.Completion.WaitAsync(TestContext.Current.CancellationToken);
            Assert.Equal((await Task.WhenAll(writers)).Sum(), read);
        }
    }
}
