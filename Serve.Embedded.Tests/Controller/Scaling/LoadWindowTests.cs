using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Controller.Scaling;

public sealed class LoadWindowTests
{
    [Fact]
    public void Sum_NothingAdded_IsNothing() => Assert.Null(new LoadWindow(Seconds(30)).Sum(Seconds(1000)));

    [Fact]
    public void Sum_Levels_CountForAsLongAsTheyHeld()
    {
        LoadWindow window = new(Seconds(30));

        Add(window, 100, 101, load: 10);
        Add(window, 101, 110, load: 0);

        LoadInterval sum = window.Sum(Seconds(110))!.Value;
        Assert.Equal(1, sum.Load, 9);
        Assert.Equal((10, 0), (sum.MaxLoad, sum.MinLoad));
        Assert.Equal((100, 110), (sum.From.TotalSeconds, sum.To.TotalSeconds));
    }

    [Fact]
    public void Sum_WhatIsOlderThanThePeriod_IsForgotten()
    {
        LoadWindow window = new(Seconds(32));

        Add(window, 0, 64, load: 100);
        Add(window, 64, 96, load: 0);

        Assert.Equal(0.0, window.Sum(Seconds(96))!.Value.Load);
        Assert.Null(window.Sum(Seconds(200)));
    }

    /// <summary>A demand of nothing must come out as nothing, to the last bit: scaling to zero depends on it.</summary>
    [Fact]
    public void Sum_LoadThatHasLeftTheWindow_LeavesNoRest()
    {
        LoadWindow window = new(Seconds(3));
        for (int tick = 0; tick < 1000; tick++)
        {
            Add(window, tick / 10.0, (tick + 1) / 10.0, load: 0.1 * (tick % 7));
        }

        for (int tick = 1000; tick < 1032; tick++)
        {
            Add(window, tick / 10.0, (tick + 1) / 10.0, load: 0);
        }

        Assert.Equal(0.0, window.Sum(Seconds(103.2))!.Value.Load);
    }

    [Fact]
    public void Sum_HalfOfTheOldestSlotIsLeft_HalfOfItCounts()
    {
        LoadWindow window = new(Seconds(64));

        Add(window, 0, 1, load: 64, refused: 10);
        Add(window, 1, 64.5, load: 0);

        LoadInterval sum = window.Sum(Seconds(64.5))!.Value;
        Assert.Equal(0.5, sum.Load, 9);
        Assert.Equal(5, sum.Refused, 9);
    }

    [Fact]
    public void Add_IntervalOverManySlots_IsSpreadEvenly()
    {
        LoadWindow window = new(Seconds(60));

        Add(window, 0.3, 60.3, load: 3, refused: 120);

        LoadInterval all = window.Sum(Seconds(60.3))!.Value;
        LoadInterval later = window.Sum(Seconds(90.3))!.Value;
        Assert.Equal((3.0, 120.0), (Math.Round(all.Load, 9), Math.Round(all.Refused, 9)));
        Assert.Equal((3.0, 60.0), (Math.Round(later.Load, 9), Math.Round(later.Refused, 9)));
    }

    [Fact]
    public void Add_IntervalLongerThanThePeriod_OnlyItsEndCounts()
    {
        LoadWindow window = new(Seconds(10));

        Add(window, 0, 1000, load: 3, refused: 1000);

        LoadInterval sum = window.Sum(Seconds(1000))!.Value;
        Assert.Equal((10.0, 10.0), (Math.Round(sum.Refused, 6), Math.Round((sum.To - sum.From).TotalSeconds, 6)));
    }

    /// <summary>Against the plain definition, over random levels at random times.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Sum_RandomLevels_IsTheTimeWeightedMeanButForTheOldestSlot(int seed)
    {
        Random random = new(seed);
        const double Period = 20;
        LoadWindow window = new(Seconds(Period));
        List<(double From, double To, double Load)> all = [];
        double now = 0;
        for (int i = 0; i < 2000; i++)
        {
            double to = Math.Round(now + 0.01 + (random.NextDouble() * (random.Next(20) == 0 ? 3 : 0.2)), 4);
            double load = random.Next(50);
            Add(window, now, to, load);
            all.Add((now, to, load));
            now = to;
            double begin = Math.Max(0, now - Period);
            double area = all.Where(l => l.To > begin).Sum(l => (l.To - Math.Max(l.From, begin)) * l.Load);

            // The oldest slot, a 64th of the period, may hold levels from 0 to 49.
            Assert.True(Math.Abs(window.Sum(Seconds(now))!.Value.Load - (area / (now - begin))) <= 49.0 / 64, $"Seed {seed}, step {i}");
        }
    }

    [Theory]
    [InlineData(10)]
    [InlineData(120)]
    public void WithPeriod_History_IsKept(double other)
    {
        LoadWindow window = new(Seconds(30));
        Add(window, 0, 40, load: 6, refused: 40);

        LoadInterval sum = window.WithPeriod(Seconds(other)).Sum(Seconds(40))!.Value;

        double kept = Math.Min(other, 30);
        Assert.Equal((6.0, kept, kept), (Math.Round(sum.Load, 9), Math.Round(sum.Refused, 6), Math.Round((sum.To - sum.From).TotalSeconds, 6)));
    }

    /// <summary>A month of ticks takes as much memory as a minute of them.</summary>
    [Fact]
    public void Add_ManyTicks_AllocateNothing()
    {
        LoadWindow window = new(TimeSpan.FromDays(30));
        int tick = 0;

        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 20_000; i++, tick++)
            {
                Add(window, tick / 10.0, (tick + 1) / 10.0, load: 1);
            }
        }));
    }

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);

    private static void Add(LoadWindow window, double from, double to, double load, double refused = 0) =>
        window.Add(new(Seconds(from), Seconds(to), load, load, refused, Ended: 0));
}
