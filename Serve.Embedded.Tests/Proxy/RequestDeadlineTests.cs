using Serve.Embedded.Proxy;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Proxy;

public sealed class RequestDeadlineTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly List<EarlyEnd> _fired = [];

    [Fact]
    public void Set_TimePasses_FiresOnceWithItsCause()
    {
        RequestDeadline deadline = Deadline();
        deadline.Set(In(1), EarlyEnd.TimedOut);

        _time.Advance(TimeSpan.FromSeconds(0.9));
        Assert.Empty(_fired);
        _time.Advance(TimeSpan.FromSeconds(10));

        Assert.Equal([EarlyEnd.TimedOut], _fired);
    }

    /// <summary>A timer's thread has nobody above it: what comes out here would be the end of the process.</summary>
    [Fact]
    public void Set_HandlerHasRegisteredWhatThrows_TimePassesAllTheSame()
    {
        using CancellationTokenSource handler = new();
        int called = 0;
        handler.Token.Register(() => called++);
        handler.Token.Register(static () => throw new InvalidOperationException("no luck"));
        handler.Token.Register(() => called++);
        RequestDeadline deadline = new(_time, _ => handler);
        deadline.Set(In(1), EarlyEnd.TimedOut);

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal(2, called);
    }

    [Fact]
    public void Clear_BeforeItIsDue_NeverFires()
    {
        RequestDeadline deadline = Deadline();
        deadline.Set(In(1), EarlyEnd.TimedOut);

        deadline.Clear();
        _time.Advance(TimeSpan.FromSeconds(10));

        Assert.Empty(_fired);
    }

    [Fact]
    public void Set_AgainForTheNextRequest_TheFirstIsForgotten()
    {
        RequestDeadline deadline = Deadline();
        deadline.Set(In(1), EarlyEnd.QueueTimedOut);
        deadline.Clear();
        deadline.Set(In(5), EarlyEnd.TimedOut);

        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Empty(_fired);
        _time.Advance(TimeSpan.FromSeconds(4));

        Assert.Equal([EarlyEnd.TimedOut], _fired);
    }

    /// <summary>Clear races with the timer on another thread: when it returns, the firing is over or never comes.</summary>
    [Fact]
    public void Clear_RacesWithTheTimer_NothingFiresAfterIt()
    {
        for (int round = 0; round < 2_000; round++)
        {
            bool cleared = false;
            bool late = false;
            ManualTimeProvider time = new();
            RequestDeadline deadline = new(time, _ =>
            {
                late |= Volatile.Read(ref cleared);
                return null;
            });
            deadline.Set(time.GetTimestamp() + time.TimestampFrequency, EarlyEnd.TimedOut);
            using Barrier barrier = new(2);
            Thread clock = new(() =>
            {
                barrier.SignalAndWait(TestContext.Current.CancellationToken);
                time.Advance(TimeSpan.FromSeconds(2));
            });
            clock.Start();
            barrier.SignalAndWait(TestContext.Current.CancellationToken);
            deadline.Clear();
            Volatile.Write(ref cleared, true);
            clock.Join();
            Assert.False(late);
        }
    }

    private RequestDeadline Deadline() => new(_time, cause =>
    {
        _fired.Add(cause);
        return null;
    });

    private long In(double seconds) => _time.GetTimestamp() + (long)(seconds * _time.TimestampFrequency);
}
