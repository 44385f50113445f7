using System.Diagnostics;
using System.Text;
using Serve.Embedded.Telemetry;
using Xunit;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class LogOutputTests
{
    private static readonly TimeSpan Ample = TimeSpan.FromSeconds(30);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void Close_LinesPending_WritesThemInOrder()
    {
        MemoryStream stream = new();
        LogOutput output = new(stream);

        output.Write("one\n"u8);
        output.Write("two\n"u8);

        Assert.True(output.Close(Ample));
        Assert.Equal(["one", "two"], LinesOf(stream));
        Assert.Equal(0, output.Dropped);
    }

    [Fact]
    public async Task Write_StuckStream_DropsCountsAndTellsOnceItMovesAgain()
    {
        GatedStream stream = new();
        LogOutput output = new(stream, capacity: 2048, linger: TimeSpan.Zero);
        byte[] line = Encoding.UTF8.GetBytes(new string('x', 99) + "\n");
        output.Write(line);
        await stream.Stuck.WaitAsync(Ample, Token);

        // The stuck block is out of reach; the other takes ten lines of a hundred bytes. None of these calls may wait.
        int taken = Enumerable.Range(0, 1000).Count(_ => output.Write(line));

        Assert.Equal(10, taken);
        Assert.Equal(990, output.Dropped);
        stream.Release();
        Assert.True(output.Close(Ample));
        string[] lines = LinesOf(stream);
        Assert.Equal(12, lines.Length);
        Assert.Equal("990 log lines were dropped because the output was slower than the log", lines[^1]);
    }

    /// <summary>Under a flood of requests it is the other lines that say what is wrong.</summary>
    [Fact]
    public async Task Write_AccessLogFillsAStuckOutput_OthersStillFindRoom()
    {
        GatedStream stream = new();
        LogOutput output = new(stream, capacity: 2048, linger: TimeSpan.Zero);
        byte[] line = Encoding.UTF8.GetBytes(new string('x', 99) + "\n");
        output.Write(line);
        await stream.Stuck.WaitAsync(Ample, Token);

        int access = Enumerable.Range(0, 1000).Count(_ => output.Write(line, isAccess: true));
        int others = Enumerable.Range(0, 1000).Count(_ => output.Write(line));

        Assert.Equal((8, 2), (access, others));
        stream.Release();
        Assert.True(output.Close(Ample));
    }

    [Fact]
    public async Task Close_StuckStream_GivesUpAtTheDeadlineHoweverOftenItIsAsked()
    {
        GatedStream stream = new();
        LogOutput output = new(stream, linger: TimeSpan.Zero);
        output.Write("line\n"u8);
        await stream.Stuck.WaitAsync(Ample, Token);

        long before = Stopwatch.GetTimestamp();
        Assert.False(output.Close(TimeSpan.FromMilliseconds(20)));
        Assert.False(output.Close(TimeSpan.Zero));
        Assert.True(Stopwatch.GetElapsedTime(before) < Ample);

        stream.Release();
        Assert.True(output.Close(Ample));
        Assert.True(output.Close(TimeSpan.Zero));
        output.Dispose();
    }

    [Fact]
    public async Task Write_BrokenStream_CountsTheLostLinesAndTellsWhenItHeals()
    {
        FailingStream stream = new(failures: 1);
        LogOutput output = new(stream, linger: TimeSpan.Zero);
        output.Write("lost\n"u8);
        await stream.Failed.WaitAsync(Ample, Token);

        output.Write("kept\n"u8);

        Assert.True(output.Close(Ample));
        Assert.Equal(["kept", "1 log line was lost because the output failed: No space left on device"], LinesOf(stream));
        Assert.Equal(1, output.Dropped);
    }

    [Fact]
    public void Close_StreamBrokenForGood_EndsWithoutThrowing()
    {
        LogOutput output = new(new FailingStream(int.MaxValue), linger: TimeSpan.Zero);
        output.Write("line\n"u8);

        Assert.True(output.Close(Ample));
        Assert.Equal(1, output.Dropped);
    }

    [Fact]
    public void Write_AfterClose_IsDropped()
    {
        MemoryStream stream = new();
        LogOutput output = new(stream);
        output.Close(Ample);

        Assert.False(output.Write("late\n"u8));
        Assert.Equal(1, output.Dropped);
        Assert.Equal(0, stream.Length);
    }

    [Fact]
    public void Write_LineLongerThanABlock_IsDroppedAndTold()
    {
        MemoryStream stream = new();
        LogOutput output = new(stream, capacity: 64);

        Assert.False(output.Write(new byte[33]));
        output.Close(Ample);

        Assert.Equal(["1 log line was dropped because the output was slower than the log"], LinesOf(stream));
    }

    [Fact]
    public async Task Write_ManyThreadsThroughSmallBlocks_KeepsLinesWholeInOrderAndCounted()
    {
        const int Writers = 4;
        const int LinesEach = 300_000;
        MemoryStream stream = new();
        LogOutput output = new(stream, capacity: 2 * 1024, linger: TimeSpan.Zero);

        Task[] writers = [.. Enumerable.Range(0, Writers).Select(writer => Task.Factory.StartNew(
            () =>
            {
                for (int i = 0; i < LinesEach; i++)
                {
                    string filler = new((char)('a' + writer), i % 40);
                    output.Write(Encoding.UTF8.GetBytes($"{writer} {i} {filler}\n"));
                }
            },
            Token,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default))];
        await Task.WhenAll(writers);

        Assert.True(output.Close(Ample));
        int[] last = [-1, -1, -1, -1];
        long written = 0;
        long told = 0;
        foreach (string line in LinesOf(stream))
        {
            if (line.Contains("dropped", StringComparison.Ordinal))
            {
                told += long.Parse(line.AsSpan(0, line.IndexOf(' ')));
                continue;
            }

            string[] parts = line.Split(' ');
            int writer = int.Parse(parts[0]);
            int number = int.Parse(parts[1]);
            Assert.True(number > last[writer], line);
            Assert.Equal(new string((char)('a' + writer), number % 40), parts[2]);
            last[writer] = number;
            written++;
        }

        Assert.Equal(Writers * LinesEach, written + told);
        Assert.Equal(told, output.Dropped);
        Assert.True(written > 0);
    }

    private static string[] LinesOf(MemoryStream stream) =>
        Encoding.UTF8.GetString(stream.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
}
