using Serve.Embedded.Controller;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>Replicas that end by themselves, and those that have lived long enough.</summary>
public sealed class ReplicaDeathTests
{
    [Fact]
    public void Died_HadServed_AnotherStartsAtOnce()
    {
        ControllerHarness harness = Deployed(2);
        Replica dead = Front(harness).Replicas[0].Replica;

        Die(harness, dead, hasServed: true);

        Assert.True(dead.Withdrawn.IsCompleted);
        Assert.Equal(ReplicaState.Draining, dead.State);
        Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start);
        Assert.Equal((DeploymentStatus.Unhealthy, StatusTrigger.HealthCheckFailed), (harness.Deployment("Front").Status, harness.Deployment("Front").Trigger));
        Assert.Equal("A replica ended by itself: exit code 3. Another takes its place.", harness.Deployment("Front").Message);
        Assert.Equal(1, harness.Deployment("Front").Restarts);
        harness.Run();
        Assert.Equal(2, harness.Running("Front", Workers));
        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Front").Status);
        Assert.Single(harness.Logs.GetSnapshot(), r => r.Id.Id == EventIds.ReplicaDied);
    }

    [Fact]
    public void Died_OneOfSeveral_TheNextOneHasItsRank()
    {
        ControllerHarness harness = Deployed(3);
        Replica dead = Front(harness).Replicas[1].Replica;

        Die(harness, dead, hasServed: true);

        Assert.Equal((1, 1), (dead.Rank, Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start).Replica!.Rank));
    }

    /// <summary>It has the value, and does not live with it: it alone was asked, and who takes its place is given the one before.</summary>
    [Fact]
    public async Task Died_AsItWasHandedAUserConfig_TheOneBeforeComesBack()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", Workers, ControllerHarness.Front(2) with { UserConfig = "{}" }, Back()));
        harness.Run();
        Task<ApplyOutcome> applied = harness.Apply(App("app", Workers, ControllerHarness.Front(2) with { UserConfig = """{"a":1}""" }, Back()));

        Die(harness, Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Reconfigure).Replica!, hasServed: true);
        harness.Run();

        Assert.Contains("The new user_config was refused and the one before stays in force. Error: A replica ended by itself as it was handed it: exit code 3. Its last log lines: the disk is missing", Assert.Single((await applied).Failures), StringComparison.Ordinal);
        Assert.Equal((DeploymentStatus.DeployFailed, StatusTrigger.ConfigUpdateFailed), (harness.Deployment("Front").Status, harness.Deployment("Front").Trigger));
        Assert.Equal(2, harness.Running("Front", Workers));
        Assert.Single(harness.Acts.All, a => a.UserConfig == """{"a":1}""");
        Assert.Single(harness.Logs.GetSnapshot(), r => r.Id.Id == EventIds.UserConfigRefused);
    }

    /// <summary>Nothing speaks against a value that was good already.</summary>
    [Fact]
    public void Died_AsItWasHandedAGoodUserConfigAgain_AnotherTakesItsPlace()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", Workers, ControllerHarness.Front(2) with { UserConfig = "{}" }, Back()));
        harness.Run();
        _ = harness.Apply(App("app", Workers, ControllerHarness.Front(2) with { UserConfig = """{"a":1}""" }, Back()));
        Act refused = Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Reconfigure);
        harness.Acts.End(refused, FakeActs.Unwell);
        harness.Step();

        Die(harness, refused.Replica!, hasServed: true);

        Assert.Equal("A replica ended by itself: exit code 3. Another takes its place.", harness.Deployment("Front").Message);
        Assert.Equal("{}", Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start).UserConfig);
    }

    /// <summary>A process is told its rank once: what is shown is what it has.</summary>
    [Fact]
    public void WornOut_TheNewOne_KeepsTheRankThatItWasToldBesideTheOld()
    {
        ControllerHarness harness = Deployed(2);

        harness.Acts.WearOut(Front(harness), Front(harness).Replicas[0].Replica);
        harness.Run();

        Assert.Equal([1, 2], Front(harness).Replicas.Select(r => r.Replica.Rank).Order());
    }

    /// <summary>A replica that ends as soon as it is up is at its goal again and again: the time between starts must grow all the same.</summary>
    [Fact]
    public void Died_AgainAndAgainWithoutHavingServed_StartsFurtherAndFurtherApartAndSaysCrashLoop() =>
        CrashLoops(static (harness, replica) => Die(harness, replica, hasServed: false), "exit code 3");

    /// <summary>It comes up, and takes no connection as soon as a request comes: the seconds that its checks take are no pause between starts.</summary>
    [Fact]
    public void Unhealthy_AgainAndAgainWithoutHavingServed_StartsFurtherAndFurtherApartAndSaysCrashLoop() =>
        CrashLoops(Fail, "its health check failed 3 times in a row, the last time with: nobody listens");

    [Fact]
    public void Unhealthy_HadServed_AnotherStartsAtOnceEachTime()
    {
        ControllerHarness harness = Deployed(1);
        for (int i = 0; i < 5; i++)
        {
            ((FakeProcess)Front(harness).Replicas[^1].Replica.Process!).HasServed = true;
            Fail(harness, Front(harness).Replicas[^1].Replica);
            Assert.Equal(TimeSpan.Zero, NextStart(harness));
        }

        Fail(harness, Front(harness).Replicas[^1].Replica);
        Assert.StartsWith("A replica's health check failed.", harness.Deployment("Front").Message, StringComparison.Ordinal);
    }

    /// <summary>What counts is how long it was known to be well, not how long its failing checks took.</summary>
    [Theory]
    [InlineData(50, true)]
    [InlineData(70, false)]
    public void Unhealthy_NeverServed_IsACrashUnlessItWasWellForAMinute(double wellForS, bool isCrash)
    {
        ControllerHarness harness = Deployed(1);
        for (int i = 0; i < 2; i++)
        {
            Replica replica = Front(harness).Replicas[^1].Replica;
            StayWell(harness, replica, TimeSpan.FromSeconds(wellForS));
            for (int strike = 0; strike < ReplicaEntry.MostStrikes; strike++)
            {
                harness.Advance(TimeSpan.FromSeconds(11));
                harness.Advance(TimeSpan.FromSeconds(30));
                EndCheckOf(harness, replica, "it does not answer");
            }

            Assert.Equal(i == 1 && isCrash, harness.Deployment("Front").Message.StartsWith("Crash loop", StringComparison.Ordinal));
            NextStart(harness);
        }
    }

    /// <summary>Its start takes longer than what it must live: that it was started long ago shows nothing.</summary>
    [Fact]
    public void Died_StartTookLong_IsACrash()
    {
        ControllerHarness harness = Deployed(1);
        for (int i = 0; i < 2; i++)
        {
            Die(harness, Front(harness).Replicas[^1].Replica, hasServed: false);
            if (i == 0)
            {
                Act start = harness.Acts.Pending.Single(a => a.Kind == ActKind.Start);
                harness.Advance(TimeSpan.FromSeconds(90));
                harness.Acts.End(start);
                harness.Step();
            }
        }

        Assert.StartsWith("Crash loop: 2 replicas", harness.Deployment("Front").Message, StringComparison.Ordinal);
    }

    /// <summary>Else a deployment that its load brings to zero later would refuse everybody instead of waking.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void CrashLoop_TheNextServesOrStaysWell_IsOverBeforeThatOneEnds(bool serves)
    {
        ControllerHarness harness = Deployed(1);
        for (int i = 0; i < 4; i++)
        {
            Die(harness, Front(harness).Replicas[^1].Replica, hasServed: false);
            NextStart(harness);
        }

        Assert.True(Front(harness).HasFailed);
        Replica replica = Front(harness).Replicas[^1].Replica;
        ((FakeProcess)replica.Process!).HasServed = serves;
        StayWell(harness, replica, TimeSpan.FromSeconds(serves ? 1 : 61));

        Assert.False(Front(harness).HasFailed);
        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Front").Status);
        Die(harness, replica, hasServed: false);
        Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start);
    }

    /// <summary>It is at its goal each time that the next one is up, for as long as that lives. One crash alone is no loop.</summary>
    [Fact]
    public void CrashLoop_TheNextIsUp_IsNotHealthyBeforeItHasShownThatItCanWork()
    {
        ControllerHarness harness = Deployed(1);
        Die(harness, Front(harness).Replicas[^1].Replica, hasServed: false);
        NextStart(harness);
        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Front").Status);

        Die(harness, Front(harness).Replicas[^1].Replica, hasServed: false);
        NextStart(harness);

        Assert.Equal(1, harness.Running("Front", Workers));
        Assert.Equal((DeploymentStatus.Unhealthy, ApplicationStatus.Unhealthy), (harness.Deployment("Front").Status, harness.Application().Status));
        Assert.StartsWith("Crash loop: 2 replicas", harness.Deployment("Front").Message, StringComparison.Ordinal);
        Assert.EndsWith(" A replica that serves a request, or is well for 60 s, ends it.", harness.Deployment("Front").Message, StringComparison.Ordinal);
        StayWell(harness, Front(harness).Replicas[^1].Replica, TimeSpan.FromSeconds(61));
        Assert.Equal((DeploymentStatus.Healthy, ""), (harness.Deployment("Front").Status, harness.Deployment("Front").Message));
    }

    /// <summary>A goal that was called failed for it has not recovered each time that the next one is up: nothing should go back to it.</summary>
    [Fact]
    public async Task CrashLoop_WasTheGoalsFailure_IsNoRecoveryWhileItGoesOn()
    {
        ControllerHarness harness = new();
        ApplyRequest request = new([App("app", Workers, ControllerHarness.Front(1), Back())]);
        Task<ApplyOutcome> applied = harness.Apply(request);
        Act slow = harness.Acts.Pending.Single(a => a.Deployment.Name == "Back");
        harness.Acts.Pending.Remove(slow);
        NextStart(harness);
        for (int i = 0; i < 3; i++)
        {
            Die(harness, Front(harness).Replicas[^1].Replica, hasServed: false);
            NextStart(harness);
        }

        Assert.NotEmpty((await applied).Failures);
        harness.Acts.Pending.Add(slow);
        harness.Acts.End(slow);
        harness.Step();

        Assert.Equal(1, harness.Running("Front", Workers));
        Assert.False(request.Recovered.IsCompleted);
        StayWell(harness, Front(harness).Replicas[^1].Replica, TimeSpan.FromSeconds(61));
        Assert.True(request.Recovered.IsCompletedSuccessfully);
    }

    /// <summary>It was up before the others crashed: that it could work says nothing of them, and neither does its end. Its place is filled at once all the same.</summary>
    [Fact]
    public void CrashLoop_AnOlderOneThatServedEnds_GoesOn()
    {
        ControllerHarness harness = Deployed(2);
        Replica good = Front(harness).Replicas[0].Replica;
        for (int i = 0; i < 6; i++)
        {
            Die(harness, Front(harness).Replicas[^1].Replica, hasServed: false);
            if (i < 5)
            {
                NextStart(harness);
            }
        }

        Assert.DoesNotContain(harness.Acts.Pending, a => a.Kind == ActKind.Start);
        Die(harness, good, hasServed: true);

        Assert.Contains(harness.Acts.Pending, a => a.Kind == ActKind.Start);
        Assert.StartsWith("Crash loop: 6 replicas", harness.Deployment("Front").Message, StringComparison.Ordinal);
        Assert.True(Front(harness).HasFailed);
    }

    /// <summary>That one of two serves says nothing of the other, which crashes again and again.</summary>
    [Fact]
    public void CrashLoop_AnotherServesOn_IsNotOver()
    {
        ControllerHarness harness = Deployed(2);
        Replica good = Front(harness).Replicas[0].Replica;
        ((FakeProcess)good.Process!).HasServed = true;
        TimeSpan waited = TimeSpan.Zero;
        for (int i = 0; i < 9; i++)
        {
            Die(harness, Front(harness).Replicas[^1].Replica, hasServed: false);
            StayWell(harness, good, TimeSpan.FromSeconds(1));
            waited = NextStart(harness);
        }

        Assert.InRange(waited.TotalSeconds, 8 - 2.2, 16);
        Assert.True(Front(harness).HasFailed);
    }

    [Fact]
    public void Died_WhileItDrains_ChangesNothing()
    {
        ControllerHarness harness = Deployed(2);
        Replica going = Front(harness).Replicas[1].Replica;
        DeploymentState front = Front(harness);
        _ = harness.Apply(App("app", Workers, ControllerHarness.Front(1), Back()));
        Assert.Equal(ReplicaState.Draining, going.State);

        harness.Acts.Die(front, going);
        harness.Step();

        Assert.Single(harness.Acts.Pending);
        Assert.DoesNotContain(harness.Logs.GetSnapshot(), r => r.Id.Id == EventIds.ReplicaDied);
    }

    [Fact]
    public void Doubted_TakesNoConnections_IsCheckedAtOnceThenEachSecondAndGoesAfterThree()
    {
        ControllerHarness harness = Deployed(2);
        Replica doubted = Front(harness).Replicas[0].Replica;

        harness.Acts.Doubt(Front(harness), doubted);
        harness.Step();
        EndCheckOf(harness, doubted, "nobody listens");
        harness.Advance(TimeSpan.FromSeconds(0.9));
        Assert.DoesNotContain(harness.Acts.Pending, a => a.Replica == doubted);
        harness.Advance(TimeSpan.FromSeconds(0.1));
        EndCheckOf(harness, doubted, "nobody listens");
        harness.Advance(TimeSpan.FromSeconds(1));
        Assert.False(doubted.Withdrawn.IsCompleted);
        EndCheckOf(harness, doubted, "nobody listens");

        Assert.True(doubted.Withdrawn.IsCompleted);
        Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start);
    }

    [Fact]
    public void Doubted_IsFoundWell_IsCheckedWhenThatIsDueAgain()
    {
        ControllerHarness harness = Deployed(1);
        Replica doubted = Front(harness).Replicas[0].Replica;
        harness.Acts.Doubt(Front(harness), doubted);
        harness.Step();
        EndCheckOf(harness, doubted, error: null);

        harness.Advance(TimeSpan.FromSeconds(8.9));
        Assert.DoesNotContain(harness.Acts.Pending, a => a.Replica == doubted);

        harness.Advance(TimeSpan.FromSeconds(2.1));
        EndCheckOf(harness, doubted, "slow for once");
        harness.Advance(TimeSpan.FromSeconds(8.9));
        Assert.DoesNotContain(harness.Acts.Pending, a => a.Replica == doubted);
    }

    [Fact]
    public void Doubted_WhileACheckRuns_WaitsForItsEnd()
    {
        ControllerHarness harness = Deployed(1);
        Replica doubted = Front(harness).Replicas[0].Replica;
        harness.Advance(TimeSpan.FromSeconds(11));

        harness.Acts.Doubt(Front(harness), doubted);
        harness.Step();

        EndCheckOf(harness, doubted, "nobody listens");
        harness.Advance(TimeSpan.FromSeconds(1));
        EndCheckOf(harness, doubted, "nobody listens");
    }

    /// <summary>It is told once only, and may have come after what the check saw: without another check it would be forgotten for a whole period.</summary>
    [Fact]
    public void Doubted_WhileACheckRunsThatFindsItWell_IsCheckedOnceMore()
    {
        ControllerHarness harness = Deployed(1);
        Replica doubted = Front(harness).Replicas[0].Replica;
        harness.Advance(TimeSpan.FromSeconds(11));
        harness.Advance(TimeSpan.FromSeconds(0.1));
        harness.Acts.Doubt(Front(harness), doubted);
        harness.Step();
        EndCheckOf(harness, doubted, error: null);

        harness.Advance(TimeSpan.FromSeconds(0.9));
        EndCheckOf(harness, doubted, error: null);
        harness.Advance(TimeSpan.FromSeconds(8.9));
        Assert.DoesNotContain(harness.Acts.Pending, a => a.Replica == doubted);
    }

    [Fact]
    public void Doubted_EachTimeItWasFoundWell_IsCheckedOnceASecond()
    {
        ControllerHarness harness = Deployed(1);
        Replica doubted = Front(harness).Replicas[0].Replica;
        harness.Acts.Doubt(Front(harness), doubted);
        harness.Step();
        EndCheckOf(harness, doubted, error: null);

        harness.Advance(TimeSpan.FromSeconds(0.1));
        harness.Acts.Doubt(Front(harness), doubted);
        harness.Advance(TimeSpan.FromSeconds(0.8));
        Assert.DoesNotContain(harness.Acts.Pending, a => a.Replica == doubted);

        harness.Advance(TimeSpan.FromSeconds(0.1));
        EndCheckOf(harness, doubted, error: null);
    }

    [Fact]
    public void WornOut_Always_TheNewOneIsUpBeforeTheOldOneGoes()
    {
        ControllerHarness harness = Deployed(2);
        DeploymentState front = Front(harness);
        Replica old = front.Replicas[0].Replica;

        harness.Acts.WearOut(front, old);
        harness.Acts.WearOut(front, old);
        harness.Step();

        Act start = Assert.Single(harness.Acts.Pending);
        Assert.Equal((ActKind.Start, ReplicaState.Running), (start.Kind, old.State));
        harness.Acts.End(start);
        harness.Step();
        Assert.Equal(ReplicaState.Draining, old.State);
        Assert.Equal(2, harness.Running("Front", Workers));
        harness.Run();
        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Front").Status);
        Assert.Single(harness.Logs.GetSnapshot(), r => r.Id.Id == EventIds.ReplicaWornOut);
    }

    [Fact]
    public void WornOut_YoungerOnesWearOutMeanwhile_TheFirstGoesFirst()
    {
        ControllerHarness harness = Deployed(3);
        DeploymentState front = Front(harness);
        Replica[] replicas = [.. front.Replicas.Select(r => r.Replica)];

        foreach (Replica replica in (Replica[])[replicas[1], replicas[2], replicas[0]])
        {
            harness.Acts.WearOut(front, replica);
            harness.Step();
        }

        harness.Acts.End(Assert.Single(harness.Acts.Pending));
        harness.Step();

        Assert.Equal([ReplicaState.Running, ReplicaState.Draining, ReplicaState.Running], replicas.Select(r => r.State));
    }

    private static ControllerHarness Deployed(int replicas)
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", Workers, ControllerHarness.Front(replicas), Back()));
        harness.Run();
        return harness;
    }

    private static DeploymentState Front(ControllerHarness harness) => harness.Acts.All.Last(a => a.Deployment.Name == "Front").Deployment;

    /// <summary>Each of nine replicas in a row is lost as soon as it is up.</summary>
    private static void CrashLoops(Action<ControllerHarness, Replica> lose, string reason)
    {
        ControllerHarness harness = Deployed(1);
        List<double> waits = [];
        for (int i = 0; i < 9; i++)
        {
            lose(harness, Front(harness).Replicas[^1].Replica);
            waits.Add(NextStart(harness).TotalSeconds);
            Assert.Equal(1, harness.Running("Front", Workers));
        }

        Assert.Equal(0, waits[0]);
        Assert.InRange(waits[1], 0.07, 0.14);
        Assert.InRange(waits[8], 8, 16);
        lose(harness, Front(harness).Replicas[^1].Replica);
        Assert.StartsWith($"Crash loop: 10 replicas in a row ended without having served a request. The last one: {reason}. The next start", harness.Deployment("Front").Message, StringComparison.Ordinal);
        Assert.Equal(["the disk is missing"], harness.Deployment("Front").LogTail);
        Assert.True(Front(harness).Served.Gate.Admit(Front(harness).Served.OpenHandle()).Kind == Serve.Embedded.Handles.AdmissionKind.Unavailable);

        // One that serves ends it.
        harness.Run(TimeSpan.FromSeconds(90));
        Die(harness, Front(harness).Replicas[^1].Replica, hasServed: true);
        Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start);
    }

    /// <summary>Ends what stops, waits for the next start and lets it succeed. Returns how long that start had to wait.</summary>
    private static TimeSpan NextStart(ControllerHarness harness)
    {
        TimeSpan waited = TimeSpan.Zero;
        foreach (Act stop in harness.Acts.Pending.Where(a => a.Kind == ActKind.Stop).ToList())
        {
            harness.Acts.End(stop);
        }

        harness.Step();
        while (!harness.Acts.Pending.Any(a => a.Kind == ActKind.Start))
        {
            harness.Advance(TimeSpan.FromMilliseconds(10));
            waited += TimeSpan.FromMilliseconds(10);
            Assert.InRange(waited, TimeSpan.Zero, TimeSpan.FromSeconds(90));
        }

        harness.Acts.End(harness.Acts.Pending.Single(a => a.Kind == ActKind.Start));
        harness.Step();
        return waited;
    }

    /// <summary>It takes no connection, and fails the checks that follow from that.</summary>
    private static void Fail(ControllerHarness harness, Replica replica)
    {
        harness.Acts.Doubt(Front(harness), replica);
        harness.Step();
        EndCheckOf(harness, replica, "nobody listens");
        harness.Advance(TimeSpan.FromSeconds(1));
        EndCheckOf(harness, replica, "nobody listens");
        harness.Advance(TimeSpan.FromSeconds(1));
        EndCheckOf(harness, replica, "nobody listens.");
    }

    /// <summary>Lets time pass in which every check of it goes well, and one at the end of it.</summary>
    private static void StayWell(ControllerHarness harness, Replica replica, TimeSpan time)
    {
        for (TimeSpan passed = TimeSpan.Zero; passed < time; passed += TimeSpan.FromSeconds(1))
        {
            harness.Advance(TimeSpan.FromSeconds(1));
            if (harness.Acts.Pending.Any(a => a.Kind == ActKind.CheckHealth && a.Replica == replica))
            {
                EndCheckOf(harness, replica, error: null);
            }
        }

        harness.Acts.Doubt(Front(harness), replica);
        harness.Advance(TimeSpan.FromSeconds(1));
        EndCheckOf(harness, replica, error: null);
    }

    private static void Die(ControllerHarness harness, Replica replica, bool hasServed)
    {
        ((FakeProcess)replica.Process!).HasServed = hasServed;
        harness.Acts.Die(Front(harness), replica);
        harness.Step();
    }

    /// <summary>It is being checked, once.</summary>
    private static void EndCheckOf(ControllerHarness harness, Replica replica, string? error)
    {
        harness.Acts.End(Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.CheckHealth && a.Replica == replica), error);
        harness.Step();
    }
}
