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
        Assert.Equal(2, harness.Running("Front", "test:v1"));
        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Front").Status);
        Assert.Single(harness.Logs.GetSnapshot(), r => r.Id.Id == EventIds.ReplicaDied);
    }

    /// <summary>A replica that ends as soon as it is up is at its goal again and again: the time between starts must grow all the same.</summary>
    [Fact]
    public void Died_AgainAndAgainWithoutHavingServed_StartsFurtherAndFurtherApartAndSaysCrashLoop()
    {
        ControllerHarness harness = Deployed(1);
        List<double> waits = [];
        for (int i = 0; i < 8; i++)
        {
            Die(harness, Front(harness).Replicas[0].Replica, hasServed: false);
            harness.Acts.End(harness.Acts.Pending.Single(a => a.Kind == ActKind.Stop));
            harness.Step();
            TimeSpan waited = TimeSpan.Zero;
            while (!harness.Acts.Pending.Any(a => a.Kind == ActKind.Start))
            {
                harness.Advance(TimeSpan.FromMilliseconds(10));
                waited += TimeSpan.FromMilliseconds(10);
                Assert.InRange(waited, TimeSpan.Zero, TimeSpan.FromSeconds(90));
            }

            waits.Add(waited.TotalSeconds);
            harness.Acts.End(harness.Acts.Pending.Single(a => a.Kind == ActKind.Start));
            harness.Step();
            Assert.Equal(1, harness.Running("Front", "test:v1"));
        }

        Assert.InRange(waits[0], 0.07, 0.14);
        Assert.InRange(waits[7], 8, 16);
        Die(harness, Front(harness).Replicas[0].Replica, hasServed: false);
        Assert.StartsWith("Crash loop: 9 replicas in a row ended without having served a request. The last one: exit code 3.", harness.Deployment("Front").Message, StringComparison.Ordinal);
        Assert.True(Front(harness).Served.Gate.Admit(Front(harness).Served.OpenHandle()).Kind == Serve.Embedded.Handles.AdmissionKind.Unavailable);

        // One that serves ends it.
        harness.Run(TimeSpan.FromSeconds(90));
        Die(harness, Front(harness).Replicas[0].Replica, hasServed: true);
        Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start);
    }

    [Fact]
    public void Died_WhileItDrains_ChangesNothing()
    {
        ControllerHarness harness = Deployed(2);
        Replica going = Front(harness).Replicas[1].Replica;
        DeploymentState front = Front(harness);
        _ = harness.Apply(App("app", "test:v1", ControllerHarness.Front(1), Back()));
        Assert.Equal(ReplicaState.Draining, going.State);

        harness.Acts.Die(front, going, hasServed: false);
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
        Assert.Equal(2, harness.Running("Front", "test:v1"));
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
        _ = harness.Apply(App("app", "test:v1", ControllerHarness.Front(replicas), Back()));
        harness.Run();
        return harness;
    }

    private static DeploymentState Front(ControllerHarness harness) => harness.Acts.All.Last(a => a.Deployment.Name == "Front").Deployment;

    private static void Die(ControllerHarness harness, Replica replica, bool hasServed)
    {
        harness.Acts.Die(Front(harness), replica, hasServed);
        harness.Step();
    }

    /// <summary>It is being checked, once.</summary>
    private static void EndCheckOf(ControllerHarness harness, Replica replica, string? error)
    {
        harness.Acts.End(Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.CheckHealth && a.Replica == replica), error);
        harness.Step();
    }
}
