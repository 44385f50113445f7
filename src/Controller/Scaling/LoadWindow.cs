namespace Serve.Embedded.Controller.Scaling;

/// <summary>A deployment's load over a period of time before now. Time has its weight: a level that held for ten seconds counts ten times as much as one that held for one.</summary>
/// <remarks>
/// The period is cut into slots, so that memory is the same however long it is and however often somebody looks. Only the oldest slot is seen in part, and is taken to be even.
/// A time is what has passed since some beginning, the same for all calls.
/// </remarks>
internal sealed class LoadWindow(TimeSpan period)
{
    private const int Slots = 64;

    private readonly Slot[] _slots = new Slot[Slots + 1];
    private readonly long _width = Math.Max(1, (period.Ticks + Slots - 1) / Slots);

    public TimeSpan Period => period;

    /// <summary>The levels that held from one time to another, and what was counted meanwhile. Intervals come one after the other.</summary>
    public void Add(LoadInterval interval)
    {
        long whole = interval.To.Ticks - interval.From.Ticks;
        long from = Math.Max(interval.From.Ticks, interval.To.Ticks - period.Ticks);
        while (from < interval.To.Ticks)
        {
            long number = from / _width;
            long to = Math.Min(interval.To.Ticks, (number + 1) * _width);
            ref Slot slot = ref _slots[number % _slots.Length];
            if (slot.To == 0 || slot.From / _width != number)
            {
                slot = new Slot { From = from, Max = double.MinValue, Min = double.MaxValue };
            }

            double part = (double)(to - from) / whole;
            slot.To = to;
            slot.Load += interval.Load * (to - from);
            slot.Ongoing += interval.Ongoing * (to - from);
            slot.Refused += interval.Refused * part;
            slot.Ended += interval.Ended * part;
            slot.Max = Math.Max(slot.Max, interval.MaxLoad);
            slot.Min = Math.Min(slot.Min, interval.MinLoad);
            from = to;
        }
    }

    /// <summary>What there was in the period that ends now; <see langword="null"/> = nothing is known of it.</summary>
    public LoadInterval? Sum(TimeSpan now)
    {
        long begin = now.Ticks - period.Ticks;
        long covered = 0;
        long first = long.MaxValue;
        double load = 0, ongoing = 0, refused = 0, ended = 0, max = double.MinValue, min = double.MaxValue;
        foreach (ref readonly Slot slot in _slots.AsSpan())
        {
            long from = Math.Max(slot.From, begin);
            if (slot.To <= from)
            {
                continue;
            }

            double part = (double)(slot.To - from) / (slot.To - slot.From);
            covered += slot.To - from;
            first = Math.Min(first, from);
            load += slot.Load * part;
            ongoing += slot.Ongoing * part;
            refused += slot.Refused * part;
            ended += slot.Ended * part;
            max = Math.Max(max, slot.Max);
            min = Math.Min(min, slot.Min);
        }

        return covered == 0 ? null : new(TimeSpan.FromTicks(first), TimeSpan.FromTicks(first + covered), load / covered, ongoing / covered, refused, ended) { MaxLoad = max, MinLoad = min };
    }

    /// <summary>The same history in a window of another length.</summary>
    public LoadWindow WithPeriod(TimeSpan other)
    {
        LoadWindow window = new(other);
        foreach (Slot slot in _slots.Where(s => s.To > 0).OrderBy(s => s.From))
        {
            double length = slot.To - slot.From;
            window.Add(new(TimeSpan.FromTicks(slot.From), TimeSpan.FromTicks(slot.To), slot.Load / length, slot.Ongoing / length, slot.Refused, slot.Ended) { MaxLoad = slot.Max, MinLoad = slot.Min });
        }

        return window;
    }

    /// <summary>Levels are kept as areas, in requests x ticks.</summary>
    private struct Slot
    {
        public long From;
        public long To;
        public double Load;
        public double Ongoing;
        public double Refused;
        public double Ended;
        public double Max;
        public double Min;
    }
}

/// <summary>A stretch of time and the load in it.</summary>
/// <param name="From">Its beginning.</param>
/// <param name="To">Its end.</param>
/// <param name="Load">Requests that ran or waited, on average.</param>
/// <param name="Ongoing">Requests that ran, on average.</param>
/// <param name="Refused">Requests that were refused.</param>
/// <param name="Ended">Requests whose work ended.</param>
internal readonly record struct LoadInterval(TimeSpan From, TimeSpan To, double Load, double Ongoing, double Refused, double Ended)
{
    public double MaxLoad { get; init; } = Load;

    public double MinLoad { get; init; } = Load;
}
