using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Serve.Embedded.Tests.Fakes;

/// <summary>
/// A clock that the test owns: time stands still until <see cref="Advance"/>, which fires the timers that are due, on the
/// caller's thread and in the order in which they are due. A timer that is due at once fires in the next call, which may be
/// <c>Advance(TimeSpan.Zero)</c>. Any thread may arm and dispose timers; one thread at a time may advance.
/// </summary>
internal sealed class ManualTimeProvider(DateTimeOffset start) : TimeProvider
{
    /// <summary>More firings than this in one call are a timer that re-arms itself at zero for ever.</summary>
    private const int MaxFiringsPerAdvance = 1_000_000;

    /// <summary>Timestamps per tick: not 1 and not Stopwatch's, so that code which mixes the units fails; a power of two, so that right code is exact.</summary>
    private const long TimestampsPerTick = 4;

    /// <summary>Where timestamps begin: not zero, so that "no timestamp yet" is never mistaken for one.</summary>
    private const long FirstTimestamp = 1_000_003;

    /// <summary>Far more than a busy machine takes.</summary>
    private static readonly TimeSpan LongestRealWait = TimeSpan.FromMinutes(2);

    private readonly Lock _lock = new();
    private readonly SortedSet<ManualTimer> _armed = new(ManualTimer.ByDueTime);
    private readonly List<(int Count, TaskCompletionSource Reached)> _waiters = [];
    private long _now;
    private long _armings;
    private bool _advancing;

    public ManualTimeProvider()
        : this(new DateTimeOffset(2026, 11, 23, 8, 19, 47, 123, TimeSpan.Zero))
    {
    }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond * TimestampsPerTick;

    public override TimeZoneInfo LocalTimeZone => Zone;

    /// <summary>What <see cref="TimeProvider.GetLocalNow"/> calls local.</summary>
    public TimeZoneInfo Zone { get; init; } = TimeZoneInfo.Utc;

    /// <summary>Timers that wait to fire now.</summary>
    public int ArmedTimers
    {
        get
        {
            lock (_lock)
            {
                return _armed.Count;
            }
        }
    }

    public override DateTimeOffset GetUtcNow() => start.ToUniversalTime().AddTicks(Volatile.Read(ref _now));

    public override long GetTimestamp() => FirstTimestamp + (Volatile.Read(ref _now) * TimestampsPerTick);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ManualTimer timer = new(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves time, stopping at every timer on the way. What a callback throws comes out here, with time where it was thrown.</summary>
    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        long target;
        lock (_lock)
        {
            if (_advancing)
            {
                throw new InvalidOperationException("Time is being advanced already: a clock has one driver, and a timer's callback is not it.");
            }

            _advancing = true;
            target = _now + by.Ticks;
        }

        try
        {
            int firings = 0;
            while (TakeDue(target) is { } timer)
            {
                if (++firings > MaxFiringsPerAdvance)
                {
                    throw new InvalidOperationException($"More than {MaxFiringsPerAdvance} timers fired in one advance of {by}: does one re-arm itself at zero?");
                }

                timer.Fire();
            }
        }
        finally
        {
            lock (_lock)
            {
                _advancing = false;
            }
        }
    }

    /// <summary>Lets time pass, step by step, until this is done.</summary>
    public async Task PassUntilAsync(Task done, TimeSpan step, CancellationToken cancellationToken = default, [CallerArgumentExpression(nameof(done))] string what = "")
    {
        long began = Stopwatch.GetTimestamp();
        while (!done.IsCompleted)
        {
            cancellationToken.ThrowIfCancellationRequested();
            AssertComes(began, what);
            Advance(step);
            await Task.Yield();
        }

        await done;
    }

    /// <summary>What does not come is a failed test that names it, and not a suite that never ends.</summary>
    public static void AssertComes(long began, string what)
    {
        if (Stopwatch.GetElapsedTime(began) > LongestRealWait)
        {
            throw new TimeoutException($"It has not come within {LongestRealWait.TotalMinutes} real minutes: {what}");
        }
    }

    /// <summary>Completes once at least <paramref name="count"/> timers are armed at the same time: the code under test has begun to wait.</summary>
    public async Task WhenArmedAsync(int count, CancellationToken cancellationToken)
    {
        TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (_armed.Count >= count)
            {
                return;
            }

            _waiters.Add((count, reached));
        }

        await reached.Task.WaitAsync(cancellationToken);
    }

    private ManualTimer? TakeDue(long target)
    {
        lock (_lock)
        {
            if (_armed.Min is not { } next || next.Due > target)
            {
                Volatile.Write(ref _now, target);
                return null;
            }

            Volatile.Write(ref _now, Math.Max(_now, next.Due));
            _armed.Remove(next);
            if (next.Period > 0)
            {
                Arm_NeedsLock(next, next.Due + next.Period);
            }

            return next;
        }
    }

    private bool Change(ManualTimer timer, TimeSpan dueTime, TimeSpan period)
    {
        lock (_lock)
        {
            if (timer.Disposed)
            {
                return false;
            }

            _armed.Remove(timer);
            timer.Period = period.Ticks;
            if (dueTime != Timeout.InfiniteTimeSpan)
            {
                Arm_NeedsLock(timer, _now + dueTime.Ticks);
            }

            return true;
        }
    }

    private void Dispose(ManualTimer timer)
    {
        lock (_lock)
        {
            timer.Disposed = true;
            _armed.Remove(timer);
        }
    }

    /// <summary>The set's order depends on both members, so they change only while the timer is out of it.</summary>
    private void Arm_NeedsLock(ManualTimer timer, long due)
    {
        timer.Due = due;
        timer.Arming = ++_armings;
        _armed.Add(timer);
        for (int i = _waiters.Count - 1; i >= 0; i--)
        {
            if (_armed.Count >= _waiters[i].Count)
            {
                _waiters[i].Reached.SetResult();
                _waiters.RemoveAt(i);
            }
        }
    }

    private sealed class ManualTimer(ManualTimeProvider clock, TimerCallback callback, object? state) : ITimer
    {
        /// <summary>Earliest first; among equals the one that was armed first.</summary>
        public static readonly Comparer<ManualTimer> ByDueTime = Comparer<ManualTimer>.Create(
            static (a, b) => a.Due != b.Due ? a.Due.CompareTo(b.Due) : a.Arming.CompareTo(b.Arming));

        private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

        /// <summary>A real timer runs its callback in its creator's ambient context.</summary>
        private readonly ExecutionContext? _context = ExecutionContext.Capture();

        public long Due { get; set; }

        public long Arming { get; set; }

        public long Period { get; set; }

        public bool Disposed { get; set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            ThrowIfNoTimerTakesIt(dueTime, nameof(dueTime));
            ThrowIfNoTimerTakesIt(period, nameof(period));
            return clock.Change(this, dueTime, period);
        }

        public void Fire()
        {
            if (_context is null)
            {
                callback(state);
            }
            else
            {
                ExecutionContext.Run(_context, static timer => ((ManualTimer)timer!).Call(), this);
            }
        }

        public void Dispose() => clock.Dispose(this);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Call() => callback(state);

        private static void ThrowIfNoTimerTakesIt(TimeSpan value, string name)
        {
            if ((value < TimeSpan.Zero && value != Timeout.InfiniteTimeSpan) || value > Longest)
            {
                throw new ArgumentOutOfRangeException(name, value, "A real timer would refuse this duration too.");
            }
        }
    }
}
