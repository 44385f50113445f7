using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Controller.Scaling;

/// <summary>Ray Serve's shared flow of scaling up and down, with the built-in policy and with a custom one: a decision every 0.1 s on a clock of the test's own.</summary>
public sealed class AutoscalerFlowTests
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(0.1);

    private static readonly AutoscalingGoal Goal = new()
    {
        MinReplicas = 0,
        MaxReplicas = 10,
        TargetOngoingRequests = 1,
        UpscaleDelay = TimeSpan.FromSeconds(30),
        DownscaleDelay = TimeSpan.FromSeconds(600),
        DownscaleToZeroDelay = TimeSpan.FromSeconds(300),
    };

    private readonly ManualTimeProvider _time = new();
    private readonly long _begin;
    private IAutoscalingPolicy? _policy;
    private AutoscalingGoal _goal = Goal;
    private AutoscalingState _state = new() { Target = 1 };

    public AutoscalerFlowTests() => _begin = _time.GetTimestamp();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [ContractRow(40)]
    public void Decide_Overload_ActsOnlyAfterAFullUninterruptedDelay(bool custom)
    {
        Use(custom);

        Assert.All(Ticks(load: 5, 300), target => Assert.Equal(1, target));
        Assert.Equal([5], Ticks(load: 5, 1));
    }

    [Theory]
    [InlineData(false, 1.0)]
    [InlineData(true, 1.0)]
    [InlineData(false, 0.0)]
    [InlineData(true, 0.0)]
    [ContractRow(40)]
    public void Decide_OverloadInterruptedHalfWay_BeginsAnew(bool custom, double otherLoad)
    {
        Use(custom);

        Ticks(load: 5, 150);
        Ticks(otherLoad, 1);

        Assert.All(Ticks(load: 5, 300), target => Assert.Equal(1, target));
        Assert.Equal([5], Ticks(load: 5, 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [ContractRow(40)]
    public void Decide_Idle_GoesToOneAndThenToZeroEachAfterItsOwnDelay(bool custom)
    {
        Use(custom);
        _state = new() { Target = 5 };

        Assert.All(Ticks(load: 0, 6000), target => Assert.Equal(5, target));
        Assert.Equal([1], Ticks(load: 0, 1));
        Assert.All(Ticks(load: 0, 3000), target => Assert.Equal(1, target));
        Assert.Equal([0], Ticks(load: 0, 1));
        Assert.All(Ticks(load: 0, 1000), target => Assert.Equal(0, target));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [ContractRow(40)]
    public void Decide_IdleInterruptedHalfWay_BeginsAnew(bool custom)
    {
        Use(custom);
        _state = new() { Target = 5 };

        Ticks(load: 0, 3000);
        Ticks(load: 9, 1);

        Assert.All(Ticks(load: 0, 6000), target => Assert.Equal(5, target));
        Assert.Equal([1], Ticks(load: 0, 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [ContractRow(40)]
    public void Decide_LastReplicaIsUsedAgain_ItsDelayBeginsAnew(bool custom)
    {
        Use(custom);

        Ticks(load: 0, 2999);
        Ticks(load: 1, 1);

        Assert.All(Ticks(load: 0, 3000), target => Assert.Equal(1, target));
        Assert.Equal([0], Ticks(load: 0, 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [ContractRow(40)]
    public void Decide_NoDelayForZeroOfItsOwn_TakesTheOther(bool custom)
    {
        Use(custom);
        _goal = _goal with { DownscaleToZeroDelay = _goal.DownscaleDelay };

        Assert.All(Ticks(load: 0, 6000), target => Assert.Equal(1, target));
        Assert.Equal([0], Ticks(load: 0, 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [ContractRow(40)]
    public void Decide_UpAfterDown_IsTheWholeFlow(bool custom)
    {
        Use(custom);

        Ticks(load: 8, 301);
        Assert.Equal(8, _state.Target);
        Ticks(load: 0, 6001);
        Assert.Equal(1, _state.Target);
        Ticks(load: 0, 3001);
        Assert.Equal(0, _state.Target);
        Assert.Equal([1], Ticks(load: 1, 1));
        Ticks(load: 20, 301);
        Assert.Equal(10, _state.Target);
    }

    /// <summary>The time counts, not the number of decisions: a loop that is late, or that is woken more often, scales at the same time.</summary>
    [Fact]
    public void Decide_TicksOfAnyLength_ActAtTheSameTime()
    {
        Decide(load: 5);
        _time.Advance(TimeSpan.FromSeconds(29.9));
        Assert.Equal(1, Decide(load: 5));
        _time.Advance(TimeSpan.FromSeconds(0.1));

        Assert.Equal(5, Decide(load: 5));
    }

    private void Use(bool custom)
    {
        if (custom)
        {
            _goal = _goal with { Policy = "custom" };
            _policy = new LoadPolicy();
        }
    }

    private List<int> Ticks(double load, int count)
    {
        List<int> targets = [];
        for (int i = 0; i < count; i++)
        {
            targets.Add(Decide(load));
            _time.Advance(Tick);
        }

        return targets;
    }

    private int Decide(double load)
    {
        ObservedLoad observed = new("app", "one", _state.Target, new(load, 0, 0, IsAsked: load > 0));
        _state = Autoscaler.Decide(_goal, _state, observed, new(_time.GetElapsedTime(_begin), _time.GetUtcNow()), _policy);
        return _state.Target;
    }

    private sealed class LoadPolicy : IAutoscalingPolicy
    {
        public AutoscalingDecision Decide(AutoscalingContext context) => new(context.TotalRequests / context.TargetOngoingRequests);
    }
}
