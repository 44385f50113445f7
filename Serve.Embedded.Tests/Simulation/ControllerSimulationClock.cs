namespace Serve.Embedded.Tests.Simulation;

/// <summary>Simulated time and everything that is due in it: a heap, where what was armed anew or disposed of is skipped when its turn comes. One thread, no locks.</summary>
internal sealed class ControllerSimulationClock : TimeProvider
{
    private const long TimestampsPerTick = 4;
    private const long FirstTimestamp = 1_000_003;

    private readonly PriorityQueue<(Action? Event, SimulatedTimer? Timer, int Arming), (long Due, long Order)> _due = new();
    private long _order;

    /// <summary>Ticks since the simulation began.</summary>
    public long Now { get; private set; }

    /// <summary>Timers of the product that wait to fire.</summary>
    public int ArmedTimers { get; private set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond * TimestampsPerTick;

    public override long GetTimestamp() => FirstTimestamp + (Now * TimestampsPerTick);

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddTicks(Now);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        SimulatedTimer timer = new(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>An event of the simulation itself.</summary>
    public void Schedule(TimeSpan after, Action happens) => _due.Enqueue((happens, null, 0), (Now + after.Ticks, ++_order));

    /// <summary>Moves time to what is due next and lets it happen; <see langword="false"/> if nothing is.</summary>
    /// <param name="isEvent">It was the simulation's own, not a timer.</param>
    public bool Next(out bool isEvent)
    {
        isEvent = false;
        while (_due.TryDequeue(out (Action? Event, SimulatedTimer? Timer, int Arming) next, out (long Due, long Order) at))
        {
            if (next.Timer is { } timer)
            {
                if (timer.Arming != next.Arming || !timer.IsArmed)
                {
                    continue;
                }

                Now = at.Due;
                timer.Fire();
                return true;
            }

            Now = at.Due;
            isEvent = true;
            next.Event!();
            return true;
        }

        return false;
    }

    private sealed class SimulatedTimer(ControllerSimulationClock clock, TimerCallback callback, object? state) : ITimer
    {
        private TimeSpan _period;
        private bool _disposed;

        public int Arming { get; private set; }

        public bool IsArmed { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            if (_disposed)
            {
                return false;
            }

            Set(armed: dueTime != Timeout.InfiniteTimeSpan);
            _period = period;
            if (IsArmed)
            {
                clock._due.Enqueue((null, this, Arming), (clock.Now + dueTime.Ticks, ++clock._order));
            }

            return true;
        }

        public void Fire()
        {
            TimeSpan again = _period > TimeSpan.Zero ? _period : Timeout.InfiniteTimeSpan;
            Change(again, again);
            callback(state);
        }

        public void Dispose()
        {
            Set(armed: false);
            _disposed = true;
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Set(bool armed)
        {
            Arming++;
            clock.ArmedTimers += (armed ? 1 : 0) - (IsArmed ? 1 : 0);
            IsArmed = armed;
        }
    }
}
