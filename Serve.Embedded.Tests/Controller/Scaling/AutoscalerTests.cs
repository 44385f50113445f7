using Serve.Embedded.Controller.Scaling;

namespace Serve.Embedded.Tests.Controller.Scaling;

public sealed class AutoscalerTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 24, 12, 0, 0, TimeSpan.Zero);

    /// <summary>Acts at once, so that one decision shows the formula.</summary>
    private static readonly AutoscalingGoal AtOnce = new()
    {
        MinReplicas = 0, MaxReplicas = 200, TargetOngoingRequests = 1, UpscaleDelay = TimeSpan.Zero, DownscaleDelay = TimeSpan.Zero, DownscaleToZeroDelay = TimeSpan.Zero,
    };

    /// <summary>Contract 5.8's vectors, and what lies beside them.</summary>
    [Theory]
    [InlineData(10, 40, 1, 1, 40)]
    [InlineData(10, 40, 0.5, 1, 25)]
    [InlineData(10, 2.5, 1, 0.5, 7)]
    [InlineData(10, 2.5, 1, 1, 3)]
    [InlineData(10, 10, 1, 1, 10)]
    [InlineData(10, 9.5, 1, 1, 10)]
    [InlineData(10, 10.5, 1, 1, 11)]
    [InlineData(10, 9, 1, 0.01, 9)]
    [InlineData(10, 1000, 1, 1, 200)]
    [InlineData(1, 0, 1, 1, 0)]
    public void Decide_Load_FollowsTheFormula(int replicas, double total, double up, double down, int expected) =>
        Assert.Equal(expected, Decide(AtOnce with { UpscalingFactor = up, DownscalingFactor = down }, At(replicas), replicas, total).Target);

    [Theory]
    [InlineData(10, 10)]
    [InlineData(0.5, 1)]
    [InlineData(1, 1)]
    public void Decide_FromZeroWithOneQueued_GoesByTheFactorAtOnce(double factor, int expected)
    {
        AutoscalingGoal goal = AtOnce with { UpscalingFactor = factor, UpscaleDelay = TimeSpan.FromSeconds(30) };

        Assert.Equal(expected, Decide(goal, At(0), 0, 1, queued: 1).Target);
    }

    [Fact]
    public void Decide_FromZeroAndNobodyAsks_StaysAtZero() => Assert.Equal(0, Decide(AtOnce, At(0), 0, 0).Target);

    /// <summary>Old load in the window is no reason to wake up: nobody waits.</summary>
    [Fact]
    public void Decide_FromZeroWithOldLoadOnly_StaysAtZero() => Assert.Equal(0, Decide(AtOnce, At(0), 0, 3).Target);

    [Fact]
    public void Decide_FiveIdleWithFactorOfAFifth_ReachZeroInFiveDecisions()
    {
        AutoscalingState state = At(5);
        List<int> targets = [];
        for (int i = 0; i < 5; i++)
        {
            state = Decide(AtOnce with { DownscalingFactor = 0.2 }, state, state.Target, 0);
            targets.Add(state.Target);
        }

        Assert.Equal([4, 3, 2, 1, 0], targets);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0.5)]
    public void Decide_HundredWantedAndOneRuns_StaysWhileTheOthersStart(double factor)
    {
        AutoscalingState state = At(100);
        for (int running = 1; running <= 100; running += 3)
        {
            state = Decide(AtOnce with { UpscalingFactor = factor }, state, running, 100);
            Assert.Equal(100, state.Target);
        }
    }

    /// <summary>Contract 5.8: max(ceil(1 x factor), target).</summary>
    [Theory]
    [InlineData(0, 1, 3)]
    [InlineData(9, 1, 3)]
    [InlineData(9, 5, 5)]
    public void Decide_NoneRunsYet_WaitsForThoseThatStart(int queued, double factor, int expected) =>
        Assert.Equal(expected, Decide(AtOnce with { UpscalingFactor = factor }, At(3), 0, queued, queued).Target);

    [Fact]
    public void Decide_AlternatingWishesWithADelay_NeverScales()
    {
        AutoscalingGoal goal = AtOnce with { UpscaleDelay = TimeSpan.FromSeconds(30), DownscaleDelay = TimeSpan.FromSeconds(30) };
        AutoscalingState state = At(5);
        for (int tick = 0; tick < 1000; tick++)
        {
            state = Decide(goal, state, 5, tick % 2 == 0 ? 20 : 1, tick: tick);
            Assert.Equal(5, state.Target);
        }
    }

    [Fact]
    public void Decide_AlternatingWishesWithoutADelay_FlipsEachTick()
    {
        AutoscalingState state = At(5);
        for (int tick = 0; tick < 10; tick++)
        {
            state = Decide(AtOnce, state, state.Target, tick % 2 == 0 ? 20 : 1, tick: tick);
            Assert.Equal(tick % 2 == 0 ? 20 : 1, state.Target);
        }
    }

    [Fact]
    public void Decide_BoundsMoved_ActAtOnceAndWithoutTraffic()
    {
        AutoscalingGoal slow = new() { MinReplicas = 1, MaxReplicas = 10, UpscaleDelay = TimeSpan.FromHours(1), DownscaleDelay = TimeSpan.FromHours(1) };

        Assert.Equal(4, Decide(slow with { MinReplicas = 4 }, At(2), 2, 0).Target);
        Assert.Equal(3, Decide(slow with { MaxReplicas = 3 }, At(8), 8, 16).Target);
    }

    [Fact]
    public void Decide_WishedForAZeroThatTheMinimumForbids_StaysAndIsNoScaling()
    {
        AutoscalingState state = Decide(AtOnce with { MinReplicas = 1 }, At(1), 1, 0);

        Assert.Equal((1, null, null), (state.Target, state.LastScaleUp, state.LastScaleDown));
    }

    [Fact]
    public void Decide_Scaled_RemembersWhen()
    {
        AutoscalingState up = Decide(AtOnce, At(2), 2, 5, tick: 10);
        AutoscalingState down = Decide(AtOnce, up, 5, 2, tick: 30);

        Assert.Equal((5, Noon.AddSeconds(1), null), (up.Target, up.LastScaleUp!.Value, up.LastScaleDown));
        Assert.Equal((2, Noon.AddSeconds(1), Noon.AddSeconds(3)), (down.Target, down.LastScaleUp!.Value, down.LastScaleDown!.Value));
    }

    [Fact]
    public void Decide_CustomPolicy_SeesWhatIsAndGetsItsStateBack()
    {
        List<AutoscalingContext> seen = [];
        Policy policy = new(context =>
        {
            seen.Add(context);
            return new(4, (context.State as int? ?? 0) + 1);
        });
        AutoscalingGoal goal = AtOnce with { Policy = "mine", TargetOngoingRequests = 3 };
        ObservedLoad observed = new("app", "one", 2, new(7.5, Ongoing: 4, Queued: 6, RefusedPerSecond: 1.5));

        AutoscalingState first = Autoscaler.Decide(goal, At(2), observed, new(TimeSpan.FromSeconds(5), Noon), policy);
        AutoscalingState second = Autoscaler.Decide(goal, first, observed, new(TimeSpan.FromSeconds(6), Noon), policy);

        Assert.Equal(
            new AutoscalingContext
            {
                Application = "app", Deployment = "one", CurrentReplicas = 2, TargetReplicas = 2, TotalRequests = 7.5, OngoingRequests = 4, QueuedRequests = 6, RefusedPerSecond = 1.5,
                TargetOngoingRequests = 3, MinReplicas = 0, MaxReplicas = 200, Now = Noon,
            },
            seen[0]);
        Assert.Equal((4, 1, Noon), (seen[1].TargetReplicas, seen[1].State, seen[1].LastScaleUp));
        Assert.Equal((4, 4.0, 2, null), (second.Target, second.Desired, second.PolicyState, second.Trouble));
    }

    [Fact]
    public void Decide_CustomPolicy_HasFactorDelayAndBounds()
    {
        AutoscalingGoal goal = AtOnce with { Policy = "mine", UpscalingFactor = 0.5, UpscaleDelay = TimeSpan.FromSeconds(1), MaxReplicas = 20 };
        Policy policy = new(_ => new(39.2));

        AutoscalingState waits = Decide(goal, At(10), 10, 0, tick: 0, policy: policy);
        AutoscalingState acts = Decide(goal, waits, 10, 0, tick: 10, policy: policy);

        Assert.Equal((10, ScalingWish.Up), (waits.Target, waits.Wish));
        Assert.Equal(20, acts.Target);
        Assert.Equal(25, Decide(goal with { MaxReplicas = 200 }, waits, 10, 0, tick: 10, policy: policy).Target);
    }

    [Fact]
    public void Decide_CustomPolicyAtZero_WakesForWhoeverWaitsWhateverItWishes()
    {
        AutoscalingGoal goal = AtOnce with { Policy = "mine", UpscaleDelay = TimeSpan.FromSeconds(30) };

        Assert.Equal(1, Decide(goal, At(0), 0, 1, queued: 1, policy: new Policy(_ => new(0))).Target);
        Assert.Equal(3, Decide(goal, At(0), 0, 1, queued: 1, policy: new Policy(_ => new(2.5))).Target);
        Assert.Equal(3, Decide(goal, At(0), 0, 0, policy: new Policy(_ => new(3))).Target);
    }

    /// <summary>What is on its way up for somebody who waits is not given up: it would be asked for again at the next decision.</summary>
    [Fact]
    public void Decide_CustomPolicyWishesForNoneWhileTheFirstStarts_KeepsIt()
    {
        AutoscalingGoal goal = AtOnce with { Policy = "mine" };
        Policy none = new(_ => new(0));

        Assert.Equal(1, Decide(goal, At(1), 0, 0, queued: 1, policy: none).Target);
        Assert.Equal(0, Decide(goal, At(1), 0, 0, policy: none).Target);
        Assert.Equal(0, Decide(goal, At(1), 1, 0, queued: 1, policy: none).Target);
    }

    [Fact]
    public void Decide_CustomPolicyThrows_KeepsTheTargetAndItsStateAndSaysWhy()
    {
        AutoscalingGoal goal = AtOnce with { Policy = "mine" };

        AutoscalingState state = Decide(goal, At(4) with { PolicyState = "kept" }, 4, 100, policy: new Policy(_ => throw new InvalidOperationException("No figures.")));

        Assert.Equal((4, "kept"), (state.Target, state.PolicyState));
        Assert.Equal("Autoscaling policy 'mine' failed with InvalidOperationException: No figures. The number of replicas stays at 4.", state.Trouble);
        Assert.Null(Decide(goal, state, 4, 100, policy: new Policy(_ => new(4))).Trouble);
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(-1)]
    public void Decide_CustomPolicyWishesForNoNumber_KeepsTheTarget(double wish)
    {
        AutoscalingState state = Decide(AtOnce with { Policy = "mine" }, At(4), 4, 100, policy: new Policy(_ => new(wish)));

        Assert.Equal(4, state.Target);
        Assert.Contains("no number of replicas", state.Trouble, StringComparison.Ordinal);
    }

    /// <summary>A wish that was interrupted by an answer that cannot be used begins anew.</summary>
    [Fact]
    public void Decide_CustomPolicyThrowsWhileAWishWaits_TheWishBeginsAnew()
    {
        AutoscalingGoal goal = AtOnce with { Policy = "mine", UpscaleDelay = TimeSpan.FromSeconds(1) };
        AutoscalingState state = Decide(goal, At(1), 1, 0, tick: 0, policy: new Policy(_ => new(9)));

        state = Decide(goal, state, 1, 0, tick: 5, policy: new Policy(_ => throw new InvalidOperationException()));
        state = Decide(goal, state, 1, 0, tick: 10, policy: new Policy(_ => new(9)));

        Assert.Equal((1, ScalingWish.Up, 1.0), (state.Target, state.Wish, state.WishSince.TotalSeconds));
    }

    [Fact]
    public void Decide_PolicyNotRegistered_KeepsTheTargetAndSaysSo()
    {
        AutoscalingState state = Decide(AtOnce with { Policy = "gone" }, At(4), 4, 100);

        Assert.Equal((4, "No autoscaling policy 'gone' is registered; the number of replicas stays at 4."), (state.Target, state.Trouble));
    }

    [Fact]
    public void Deploy_New_IsInitialElseMinimum()
    {
        AutoscalingGoal goal = new() { MinReplicas = 2, MaxReplicas = 10 };

        Assert.Equal(2, AutoscalingState.Deploy(goal, before: null).Target);
        Assert.Equal(5, AutoscalingState.Deploy(goal with { InitialReplicas = 5 }, before: null).Target);
        Assert.Equal(0, AutoscalingState.Deploy(goal with { MinReplicas = 0 }, before: null).Target);
    }

    /// <summary>Ray Serve's #29686 and #30464.</summary>
    [Fact]
    public void Deploy_Again_KeepsTheCountUnlessInitialIsChosen()
    {
        AutoscalingGoal goal = new() { MinReplicas = 2, MaxReplicas = 10 };

        Assert.Equal(7, AutoscalingState.Deploy(goal, At(7)).Target);
        Assert.Equal(5, AutoscalingState.Deploy(goal with { InitialReplicas = 5 }, At(7)).Target);
        Assert.Equal(7, AutoscalingState.Deploy(goal, before: null, replicas: 7).Target);
        Assert.Equal(10, AutoscalingState.Deploy(goal, At(12)).Target);
        Assert.Equal(2, AutoscalingState.Deploy(goal, At(1)).Target);
    }

    [Fact]
    public void Deploy_Again_ForgetsTheWishAndKeepsWhatThePolicyKnows()
    {
        AutoscalingState before = At(7) with { Wish = ScalingWish.Up, PolicyState = "known", LastScaleUp = Noon, Trouble = "old" };

        AutoscalingState state = AutoscalingState.Deploy(new() { MaxReplicas = 10 }, before);

        Assert.Equal((ScalingWish.None, "known", Noon, null), (state.Wish, state.PolicyState, state.LastScaleUp!.Value, state.Trouble));
    }

    private static AutoscalingState At(int target) => new() { Target = target };

    private static AutoscalingState Decide(
        AutoscalingGoal goal, AutoscalingState state, int current, double total, int queued = 0, int tick = 0, IAutoscalingPolicy? policy = null) =>
        Autoscaler.Decide(
            goal, state, new("app", "one", current, new(total, 0, queued, IsAsked: queued > 0)), new(TimeSpan.FromSeconds(tick / 10.0), Noon.AddSeconds(tick / 10.0)), policy);

    private sealed class Policy(Func<AutoscalingContext, AutoscalingDecision> decide) : IAutoscalingPolicy
    {
        public AutoscalingDecision Decide(AutoscalingContext context) => decide(context);
    }
}
