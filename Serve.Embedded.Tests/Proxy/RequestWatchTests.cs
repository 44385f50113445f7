using Serve.Embedded.Proxy;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Proxy;

public sealed class RequestWatchTests
{
    /// <summary>Or the replica would never be said to have stopped.</summary>
    [Fact]
    public async Task WatchRun_ReplicaStopsAndHandlerHasRegisteredWhatThrows_StopGoesOn()
    {
        using CancellationTokenSource replica = new();
        RequestWatch watch = new(new ManualTimeProvider(), static _ => { });
        watch.Token.Register(static () => throw new InvalidOperationException("no luck"));
        watch.WatchRun(leaves: CancellationToken.None, replica.Token);

        await replica.CancelAsync();

        Assert.Equal(EarlyEnd.ReplicaStops, watch.Cause);
        Assert.True(watch.Token.IsCancellationRequested);
    }

    /// <summary>A handler that goes on elsewhere may begin a stream, or take the connection over, in the instant in which its request begins to be watched.</summary>
    [Fact]
    public void RestartTimeout_FromAnotherThreadInTheMiddleOfWatchRun_TheResponsesTimeHolds()
    {
        ManualTimeProvider time = new();
        InterruptedTime interrupted = new(time);
        RequestWatch watch = new(interrupted, static _ => { });
        Thread handler = new(() => watch.RestartTimeout(timeout: null)) { IsBackground = true };
        interrupted.OnTimer = () =>
        {
            handler.Start();
            SpinWait.SpinUntil(() => !handler.IsAlive || handler.ThreadState.HasFlag(ThreadState.WaitSleepJoin));
        };
        watch.SetTimeout(time.GetTimestamp(), TimeSpan.FromSeconds(1));

        watch.WatchRun(leaves: CancellationToken.None, replicaStops: CancellationToken.None);
        handler.Join();
        time.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal(EarlyEnd.None, watch.Cause);
    }

    /// <summary>A handler that goes on after it has returned may begin its response in the instant in which its request ends: the next request of the connection would end with that time.</summary>
    [Fact]
    public void Stop_InTheMiddleOfRestartTimeoutOnAnotherThread_NoTimeIsLeft()
    {
        ManualTimeProvider time = new();
        InterruptedTime interrupted = new(time);
        RequestWatch watch = new(interrupted, static _ => { });
        watch.SetTimeout(time.GetTimestamp(), TimeSpan.FromSeconds(1));
        watch.WatchRun(leaves: CancellationToken.None, replicaStops: CancellationToken.None);
        Thread ends = new(watch.Stop) { IsBackground = true };
        interrupted.OnChange = () =>
        {
            interrupted.OnChange = null;
            ends.Start();
            SpinWait.SpinUntil(() => !ends.IsAlive || ends.ThreadState.HasFlag(ThreadState.WaitSleepJoin));
        };

        watch.RestartTimeout(TimeSpan.FromSeconds(5));
        ends.Join();

        Assert.Equal(0, time.ArmedTimers);
    }

    /// <summary>Something happens just before a timer is made, or changed.</summary>
    private sealed class InterruptedTime(TimeProvider time) : TimeProvider
    {
        public Action? OnTimer { get; set; }

        public Action? OnChange { get; set; }

        public override long TimestampFrequency => time.TimestampFrequency;

        public override long GetTimestamp() => time.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            OnTimer?.Invoke();
            return new InterruptedTimer(this, time.CreateTimer(callback, state, dueTime, period));
        }
    }

    private sealed class InterruptedTimer(InterruptedTime time, ITimer timer) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            time.OnChange?.Invoke();
            return timer.Change(dueTime, period);
        }

        public void Dispose() => timer.Dispose();

        public ValueTask DisposeAsync() => timer.DisposeAsync();
    }
}
