using Xunit;

namespace Serve.Embedded.Tests.Fakes;

public sealed class ManualTimeProviderTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly ManualTimeProvider _clock = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void GetElapsedTime_AfterAdvance_IsExact()
    {
        long before = _clock.GetTimestamp();
        DateTimeOffset wall = _clock.GetUtcNow();

        _clock.Advance(TimeSpan.FromTicks(12_345_678_901));

        Assert.Equal(12_345_678_901, _clock.GetElapsedTime(before).Ticks);
        Assert.Equal(12_345_678_901, (_clock.GetUtcNow() - wall).Ticks);
    }

    [Fact]
    public void TimestampFrequency_IsNobodyElses()
    {
        Assert.NotEqual(TimeSpan.TicksPerSecond, _clock.TimestampFrequency);
        Assert.NotEqual(System.Diagnostics.Stopwatch.Frequency, _clock.TimestampFrequency);
        Assert.NotEqual(0, _clock.GetTimestamp());
    }

    [Fact]
    public void Advance_SeveralTimersDue_FireInDueOrderEachAtItsOwnTime()
    {
        long start = _clock.GetTimestamp();
        List<(string Name, double At)> fired = [];
        Arm("c", 3);
        Arm("a", 1);
        Arm("b", 2);
        Arm("a2", 1);
        Arm("later", 5);

        _clock.Advance(4 * Second);

        Assert.Equal([("a", 1), ("a2", 1), ("b", 2), ("c", 3)], fired);
        Assert.Equal(4, _clock.GetElapsedTime(start).TotalSeconds);
        Assert.Equal(1, _clock.ArmedTimers);

        void Arm(string name, int seconds) => _clock.CreateTimer(
            _ => fired.Add((name, _clock.GetElapsedTime(start).TotalSeconds)), null, seconds * Second, Timeout.InfiniteTimeSpan);
    }

    [Fact]
    public void Advance_PeriodicTimer_FiresOncePerPeriod()
    {
        int fired = 0;
        using ITimer timer = _clock.CreateTimer(_ => fired++, null, Second, 2 * Second);

        _clock.Advance(6 * Second);

        Assert.Equal(3, fired);
    }

    [Fact]
    public void Change_FromItsOwnCallback_FiresAgainInTheSameAdvance()
    {
        int fired = 0;
        ITimer? timer = null;
        timer = _clock.CreateTimer(_ => Assert.True(++fired == 3 || timer!.Change(Second, Timeout.InfiniteTimeSpan)), null, Second, Timeout.InfiniteTimeSpan);

        _clock.Advance(10 * Second);

        Assert.Equal(3, fired);
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public void Dispose_FromACallback_StopsItselfAndATimerDueAtTheSameTime()
    {
        int fired = 0;
        ITimer? first = null;
        ITimer? second = null;
        first = _clock.CreateTimer(
            _ =>
            {
                fired++;
                first!.Dispose();
                second!.Dispose();
            },
            null,
            Second,
            Second);
        second = _clock.CreateTimer(_ => fired += 100, null, Second, Timeout.InfiniteTimeSpan);

        _clock.Advance(5 * Second);

        Assert.Equal(1, fired);
        Assert.False(first.Change(Second, Second));
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public void Advance_ZeroDueTimer_FiresInTheNextAdvance()
    {
        int fired = 0;
        using ITimer timer = _clock.CreateTimer(_ => fired++, null, TimeSpan.Zero, Timeout.InfiniteTimeSpan);

        Assert.Equal(0, fired);
        _clock.Advance(TimeSpan.Zero);
        Assert.Equal(1, fired);
    }

    [Fact]
    public void Advance_FromACallback_IsRefusedAndLeavesTheClockUsable()
    {
        using (ITimer timer = _clock.CreateTimer(_ => _clock.Advance(Second), null, Second, Timeout.InfiniteTimeSpan))
        {
            Assert.Throws<InvalidOperationException>(() => _clock.Advance(Second));
        }

        _clock.Advance(Second);
    }

    [Fact]
    public void Advance_Callback_RunsInTheContextOfItsCreator()
    {
        AsyncLocal<string> ambient = new() { Value = "creator" };
        string? seen = null;
        using ITimer timer = _clock.CreateTimer(_ => seen = ambient.Value, null, Second, Timeout.InfiniteTimeSpan);

        ambient.Value = "driver";
        _clock.Advance(Second);

        Assert.Equal("creator", seen);
        Assert.Equal("driver", ambient.Value);
    }

    [Fact]
    public async Task WhenArmedAsync_TwoDelaysBegin_CompletesWithTheSecond()
    {
        Task armed = _clock.WhenArmedAsync(2, Token);

        Task first = Task.Delay(Second, _clock, Token);
        Assert.False(armed.IsCompleted);
        Task second = Task.Delay(2 * Second, _clock, Token);
        await armed;

        _clock.Advance(2 * Second);
        await Task.WhenAll(first, second);
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public async Task CancellationTokenSource_WithThisClock_CancelsWhenTimePasses()
    {
        using CancellationTokenSource source = new(Second, _clock);

        _clock.Advance(Second - TimeSpan.FromTicks(1));
        Assert.False(source.IsCancellationRequested);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(source.IsCancellationRequested);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Task.Delay(Second, _clock, source.Token));
    }

    [Fact]
    public void GetLocalNow_WithAZone_IsInThatZone()
    {
        ManualTimeProvider clock = new() { Zone = TimeZoneInfo.CreateCustomTimeZone("test", TimeSpan.FromHours(2), "test", "test") };

        Assert.Equal(TimeSpan.FromHours(2), clock.GetLocalNow().Offset);
        Assert.Equal(clock.GetUtcNow(), clock.GetLocalNow());
    }
}
