using System.IO.Pipelines;
using Serve.Embedded.Proxy;

namespace Serve.Embedded.Tests.Proxy;

public sealed class FairInputTests
{
    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    /// <summary>There is more to read, but after a turn it is not read on the thread that brought it.</summary>
    [Fact]
    public async Task ReadAsync_ATurnIsOver_GoesOnElsewhere()
    {
        Pipe pipe = new(new PipeOptions(pauseWriterThreshold: 0));
        FairInput input = new(pipe.Reader);
        Write(pipe, 65 * 1024);
        Write(pipe, 1024);
        SynchronizationContext? before = SynchronizationContext.Current;
        Elsewhere elsewhere = new();
        SynchronizationContext.SetSynchronizationContext(elsewhere);
        try
        {
            ReadResult first = Read(input);
            input.AdvanceTo(first.Buffer.GetPosition(64 * 1024));
            Task<ReadResult> next = input.ReadAsync(Deadline).AsTask();

            Assert.False(next.IsCompleted);
            Assert.Single(elsewhere.Posted).Invoke();
            ReadResult second = await next;
            Assert.Equal(2 * 1024, second.Buffer.Length);
            input.AdvanceTo(second.Buffer.GetPosition(1024));
            Assert.Equal(1024, Read(input).Buffer.Length);
            Assert.Single(elsewhere.Posted);
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    [Fact]
    public async Task ReadAsync_SmallRequestsOneAfterTheOther_StayOnTheThreadThatReceivedThem()
    {
        Pipe pipe = new(new(readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline, useSynchronizationContext: false));
        FairInput input = new(pipe.Reader);

        for (int i = 0; i < 100; i++)
        {
            ValueTask<ReadResult> reading = input.ReadAsync(Deadline);
            Assert.False(reading.IsCompleted);
            await pipe.Writer.WriteAsync(new byte[100], Deadline);
            Assert.True(reading.IsCompleted);
            input.AdvanceTo((await reading).Buffer.End);
        }
    }

    private static void Write(Pipe pipe, int count)
    {
        pipe.Writer.GetSpan(count);
        pipe.Writer.Advance(count);
        _ = pipe.Writer.FlushAsync(Deadline).AsTask();
    }

    private static ReadResult Read(FairInput input)
    {
        Assert.True(input.TryRead(out ReadResult result));
        return result;
    }

    /// <summary>Keeps what is to go on in another place.</summary>
    private sealed class Elsewhere : SynchronizationContext
    {
        public List<Action> Posted { get; } = [];

        public override void Post(SendOrPostCallback d, object? state) => Posted.Add(() => d(state));
    }
}
