using Serve.Embedded.Handles;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Handles;

/// <summary>The numbers are those of Ray Serve's estimator.</summary>
public sealed class DrainRateTests
{
    private readonly DrainRate _rate = new();

    [Fact]
    [ContractRow(12)]
    public void Sample_First_IsOnlyTheBaseline()
    {
        _rate.Sample(1000, 5);
        Assert.Equal(0, _rate.PerSecond);
        Assert.False(_rate.IsWarm);
        _rate.Sample(1010, 5);
        Assert.Equal(10, _rate.PerSecond);
    }

    [Fact]
    [ContractRow(12)]
    public void Sample_TenThenTwenty_IsThirteen()
    {
        Samples(0, 10, 30);
        Assert.Equal(13, _rate.PerSecond, 9);
    }

    [Fact]
    [ContractRow(12)]
    public void IsWarm_AfterThreeSamples()
    {
        Samples(0, 10, 20);
        Assert.False(_rate.IsWarm);
        _rate.Sample(30, 1);
        Assert.True(_rate.IsWarm);
    }

    [Fact]
    [ContractRow(12)]
    public void Sample_IdleSecond_IsSkipped()
    {
        Samples(0, 10, 20);
        for (int i = 0; i < 100; i++)
        {
            _rate.Sample(20, 0);
        }

        Assert.Equal(10, _rate.PerSecond);
        Assert.False(_rate.IsWarm);
    }

    [Fact]
    [ContractRow(12)]
    public void Sample_SomebodyWaitsAndNobodyLeaves_CountsAsZero()
    {
        Samples(0, 10);
        _rate.Sample(10, 1);
        Assert.Equal(7, _rate.PerSecond, 9);
    }

    [Fact]
    public void Sample_CountFell_IsANewBaseline()
    {
        Samples(0, 10, 5);
        Assert.Equal(10, _rate.PerSecond);
        _rate.Sample(25, 1);
        Assert.Equal(13, _rate.PerSecond, 9);
    }

    [Fact]
    public void Pause_ThenSample_TheTimeBetweenDoesNotCount()
    {
        Samples(0, 10);
        _rate.Pause();
        _rate.Sample(5000, 1);
        Assert.Equal(10, _rate.PerSecond);
        _rate.Sample(5020, 1);
        Assert.Equal(13, _rate.PerSecond, 9);
    }

    private void Samples(params long[] drained)
    {
        foreach (long count in drained)
        {
            _rate.Sample(count, 1);
        }
    }
}
