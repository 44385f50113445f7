using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Replicas.Workers;

public sealed class LineRateTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly List<long> _leftOut = [];
    private readonly LineRate _rate;

    public LineRateTests() => _rate = new(_time, 3, _leftOut.Add);

    [Fact]
    public void Pass_MoreThanTheMost_LeavesOutTheRestAndSaysSoWhenTheSecondEnds()
    {
        _rate.Pass();
        _time.Advance(TimeSpan.FromSeconds(0.6));
        Assert.Equal([true, true, false, false], [_rate.Pass(), _rate.Pass(), _rate.Pass(), _rate.Pass()]);

        _time.Advance(TimeSpan.FromSeconds(0.3));
        Assert.Empty(_leftOut);

        _time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Equal([2], _leftOut);
        Assert.Equal([true, true, true, false], [_rate.Pass(), _rate.Pass(), _rate.Pass(), _rate.Pass()]);
    }

    [Fact]
    public void Pass_NotMoreInAnySecond_LetsAllThroughAndSaysNothing()
    {
        for (int second = 0; second < 5; second++)
        {
            Assert.Equal([true, true, true], [_rate.Pass(), _rate.Pass(), _rate.Pass()]);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Empty(_leftOut);
        Assert.Equal(0, _time.ArmedTimers);
    }

    [Fact]
    public void Dispose_LinesWereLeftOut_SaysSoAtOnceAndOnce()
    {
        Assert.Equal([true, true, true, false], [_rate.Pass(), _rate.Pass(), _rate.Pass(), _rate.Pass()]);

        _rate.Dispose();
        _time.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal([1], _leftOut);
        Assert.Equal(0, _time.ArmedTimers);
    }
}
