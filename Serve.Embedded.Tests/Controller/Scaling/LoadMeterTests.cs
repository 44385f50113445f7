using Serve.Embedded.Controller.Scaling;

namespace Serve.Embedded.Tests.Controller.Scaling;

public sealed class LoadMeterTests
{
    private readonly LoadMeter _meter = new(TimeSpan.FromSeconds(30));

    [Fact]
    public void Read_First_IsWhatThereIsNow() => Assert.Equal(new LoadReading(7, 4, 3, IsAsked: true), Read(0, new(4, 3, 100, 50)));

    /// <summary>Contract 5.8: running and queued, averaged over the look-back period; a level holds until the next sample.</summary>
    [Fact]
    public void Read_Levels_AreAveragedByTheTimeTheyHeld()
    {
        Read(0, new(10, 10, 0, 0));
        Read(1, new(2, 0, 0, 0));

        Assert.Equal(6.5, Read(4, new(50, 50, 0, 0)).Total, 9);
    }

    [Theory]
    [InlineData(AggregationFunction.Mean, 11)]
    [InlineData(AggregationFunction.Max, 20)]
    [InlineData(AggregationFunction.Min, 2)]
    public void Read_Aggregation_IsTheOneAskedFor(AggregationFunction aggregation, double expected)
    {
        Read(0, new(10, 10, 0, 0));
        Read(2, new(2, 0, 0, 0));

        Assert.Equal(expected, _meter.Read(new(0, 0, 0, 0), TimeSpan.FromSeconds(4), aggregation).Total, 9);
    }

    /// <summary>Four places, requests of two seconds, ten more a second that are refused: 4 run, and 20 would.</summary>
    [Fact]
    public void Read_RefusedDemand_CountsForAsLongAsARequestTakes()
    {
        LoadReading reading = default;
        for (int second = 0; second <= 30; second++)
        {
            reading = Read(second, new(4, 0, Refused: 10 * second, Ended: 2 * second));
        }

        Assert.Equal(24, reading.Total, 6);
        Assert.Equal(10, reading.RefusedPerSecond, 6);
        Assert.True(reading.IsAsked);
    }

    [Fact]
    public void Read_NothingRefused_IsRunningAndQueuedAlone()
    {
        LoadReading reading = default;
        for (int second = 0; second <= 60; second++)
        {
            reading = Read(second, new(4, 5, Refused: 77, Ended: 2 * second));
        }

        Assert.Equal((9.0, 0.0), (Math.Round(reading.Total, 9), reading.RefusedPerSecond));
    }

    [Fact]
    public void Read_RefusalsThatAreOver_LeaveTheWindow()
    {
        for (int second = 0; second <= 10; second++)
        {
            Read(second, new(4, 0, 10 * second, 2 * second));
        }

        LoadReading reading = default;
        for (int second = 11; second <= 45; second++)
        {
            reading = Read(second, new(0, 0, 100, 20));
        }

        Assert.Equal(new LoadReading(0, 0, 0), reading);
    }

    [Fact]
    public void Read_NobodyWaitsButOneWasRefused_IsAsked()
    {
        Read(0, new(0, 0, 5, 0));

        Assert.True(Read(1, new(0, 0, 6, 0)).IsAsked);
        Assert.False(Read(2, new(0, 0, 6, 0)).IsAsked);
    }

    [Fact]
    public void Read_TwiceAtTheSameTime_LosesNoCount()
    {
        Read(0, new(4, 0, 0, 0));
        Read(1, new(4, 0, 5, 1));
        Read(1, new(4, 0, 8, 1));

        Assert.Equal(5, Read(2, new(4, 0, 10, 2)).RefusedPerSecond, 9);
    }

    [Fact]
    public void LookBackPeriod_Changed_KeepsWhatIsKnown()
    {
        for (int second = 0; second <= 30; second++)
        {
            Read(second, new(6, 0, 0, 0));
        }

        _meter.LookBackPeriod = TimeSpan.FromSeconds(60);

        Assert.Equal(6, Read(31, new(0, 0, 0, 0)).Total, 9);
        Assert.Equal(60, _meter.LookBackPeriod.TotalSeconds);
    }

    private LoadReading Read(double second, LoadSample sample) => _meter.Read(sample, TimeSpan.FromSeconds(second), AggregationFunction.Mean);
}
