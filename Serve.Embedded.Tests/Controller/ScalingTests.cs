using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>Replicas that follow the load, and a box that does not hold everything, through the real loop and the real gate.</summary>
public sealed class ScalingTests
{
    private static readonly AutoscalingGoal Quick = new()
    {
        MinReplicas = 1,
        MaxReplicas = 8,
        TargetOngoingRequests = 1,
        LookBackPeriod = TimeSpan.FromSeconds(1),
        UpscaleDelay = TimeSpan.Zero,
        DownscaleDelay = TimeSpan.FromSeconds(2),
        DownscaleToZeroDelay = TimeSpan.FromSeconds(4),
    };

    [Fact]
    public void Load_RisesAndFalls_ReplicasFollow()
    {
        ControllerHarness harness = Deployed(Front() with { Autoscaling = Quick });
        List<Admission> requests = Arrive(harness, 9);

        harness.Run(TimeSpan.FromSeconds(4));
        Assert.Equal(8, harness.Deployment("Front").NumReplicas);
        Assert.Equal(8, harness.Running("Front", "test:v1"));
        Assert.Equal(ApplicationStatus.Running, harness.Application().Status);

        End(requests);
        harness.Run(TimeSpan.FromSeconds(8));
        Assert.Equal(1, harness.Deployment("Front").NumReplicas);
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.DownscaleCompleted), (harness.Deployment("Front").Status, harness.Deployment("Front").Trigger));
    }

    [Fact]
    public void Zero_NobodyAsks_GoesToZeroAndARequestWakesItAtOnce()
    {
        ControllerHarness harness = Deployed(Front() with { NumReplicas = 0, Autoscaling = Quick with { MinReplicas = 0, InitialReplicas = 1 } });
        Assert.Equal(1, harness.Running("Front", "test:v1"));
        harness.Run(TimeSpan.FromSeconds(10));
        Assert.Empty(harness.Deployment("Front").Replicas);
        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Front").Status);

        // No time passes: the request itself tells the controller.
        Admission request = Assert.Single(Arrive(harness, 1));
        Assert.Equal(AdmissionKind.Wait, request.Kind);
        harness.Step();

        Act start = Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start);
        harness.Acts.End(start);
        harness.Step();
        Assert.False(request.Waiter!.IsWaiting);
    }

    /// <summary>The load of others is looked at every now and then; one that has just come is not to wait for that.</summary>
    [Fact]
    public void Zero_ARequestComesRightAfterTheDeploy_WakesItAtOnce()
    {
        ControllerHarness harness = Deployed(Front() with { Autoscaling = Quick });
        DeploymentGoal none = Front() with { NumReplicas = 0, Autoscaling = Quick with { MinReplicas = 0 } };
        _ = harness.Apply(App("app", "test:v1", Front() with { Autoscaling = Quick }, Back()), App("next", "test:v1", none, Back()));
        harness.Run(TimeSpan.Zero);
        Assert.Empty(harness.Deployment("Front", "next").Replicas);

        ServedApplication next = harness.Serving.Current.Applications.Single(a => a.Name == "next");
        Assert.Equal(AdmissionKind.Wait, next.Ingress.Gate.Admit(next.Handle).Kind);
        harness.Step();

        Assert.Single(harness.Deployment("Front", "next").Replicas);
    }

    [Fact]
    public void Refusals_CountAsLoad()
    {
        ControllerHarness harness = Deployed(Front() with { Autoscaling = Quick, MaxOngoingRequests = 1, MaxQueuedRequests = 0 });
        for (int i = 0; i < 60; i++)
        {
            // One runs for 50 ms at a time and nine are refused meanwhile: without these the load would be 1.
            List<Admission> requests = Arrive(harness, 10);
            harness.Run(TimeSpan.FromMilliseconds(50));
            End(requests);
        }

        Assert.InRange(harness.Deployment("Front").NumReplicas, 4, 8);
    }

    [Fact]
    public void Redeploy_OfTheSameScaling_KeepsTheCount()
    {
        ControllerHarness harness = Deployed(Front() with { Autoscaling = Quick });
        List<Admission> requests = Arrive(harness, 4);
        harness.Run(TimeSpan.FromSeconds(4));
        Assert.Equal(4, harness.Running("Front", "test:v1"));

        _ = harness.Apply(App("app", "test:v1", Front() with { Autoscaling = Quick with { MaxReplicas = 9 } }, Back()));

        Assert.Equal(4, harness.Deployment("Front").NumReplicas);
        End(requests);
    }

    [Fact]
    public void Box_DoesNotHoldAll_SharesByWeightAndSaysSo()
    {
        ControllerHarness harness = new();
        BoxConfig box = new() { Cpus = 6, MemoryMb = 1_000_000 };
        DeploymentGoal wants = Front(1) with { NumCpus = 1, Autoscaling = Quick with { MinReplicas = 6 }, NumReplicas = 6 };

        _ = harness.Apply(new ApplyRequest(
            [App("a", "test:v1", wants with { NumReplicas = 1, Autoscaling = Quick with { InitialReplicas = 6 }, Weight = 2 }, Back()),
             App("b", "test:v1", wants with { NumReplicas = 1, Autoscaling = Quick with { InitialReplicas = 6 }, Weight = 1 }, Back())],
            Box: box));
        harness.Run(TimeSpan.FromMilliseconds(100));

        Assert.Equal(4, harness.Running("Front", "test:v1", "a"));
        Assert.Equal(2, harness.Running("Front", "test:v1", "b"));
        Assert.Contains("Held back by the box", harness.Deployment("Front", "b").HeldBack, StringComparison.Ordinal);
    }

    [Fact]
    public void Box_HasNoPlaceForASingleReplica_WhoAsksIsToldAtOnceAndSoIsTheLog()
    {
        ControllerHarness harness = new();
        ApplicationGoal second = App("second", "test:solo", Front() with { NumCpus = 1 });
        _ = harness.Apply(new ApplyRequest([App("first", "test:solo", Front() with { NumCpus = 1 }), second], Box: new() { Cpus = 1, MemoryMb = 1_000_000 }));
        harness.Run();
        ServedApplication served = harness.Serving.Current.Applications[1];

        Assert.Equal(AdmissionKind.Unavailable, served.Ingress.Gate.Admit(served.Handle).Kind);
        Assert.Contains("it shall have 1 replicas and gets 0", Assert.Single(harness.Logs.GetSnapshot(), r => r.Id.Id == EventIds.HeldBack).Message, StringComparison.Ordinal);

        _ = harness.Apply(new ApplyRequest([second], Box: new() { Cpus = 1, MemoryMb = 1_000_000 }));
        harness.Run();
        Assert.Equal(AdmissionKind.Run, served.Ingress.Gate.Admit(served.Handle).Kind);
    }

    [Fact]
    public void Box_HasNoRoomForASurge_TheRolloutExceedsItByOne()
    {
        ControllerHarness harness = Deployed(new BoxConfig { Cpus = 4, MemoryMb = 1_000_000 }, Front(4) with { NumCpus = 1, RollingUpdatePercentage = 1 });

        _ = harness.Apply(App("app", "test:v2", Front(4) with { NumCpus = 1, RollingUpdatePercentage = 1 }, Back()));

        Assert.Equal(5, harness.Deployment("Front").Replicas.Count);

        // The first wave is the one that there is room for: nobody waits for the three others of it.
        harness.Run(eachStep: () => Assert.InRange(harness.Deployment("Front").Replicas.Count(r => r.State != ReplicaState.Draining), 4, 5));
        Assert.Equal(4, harness.Running("Front", "test:v2"));
        Assert.Equal(ApplicationStatus.Running, harness.Application().Status);
    }

    /// <summary>The box is exceeded by one replica, and not by one for each rollout; the log says who has to stop old ones first.</summary>
    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void Box_SeveralRolloutsAtOnce_ExceedItByOneAltogether(int cpus)
    {
        DeploymentGoal two = Front(2) with { NumCpus = 1, RollingUpdatePercentage = 1 };
        ControllerHarness harness = new();
        _ = harness.Apply(new ApplyRequest([App("a", "test:v1", two, Back()), App("b", "test:v1", two, Back())], Box: new() { Cpus = cpus, MemoryMb = 1_000_000 }));
        harness.Run(TimeSpan.FromMilliseconds(200));
        int most = 0;

        _ = harness.Apply(App("a", "test:v2", two, Back()), App("b", "test:v2", two, Back()));
        harness.Run(eachStep: () => most = Math.Max(most, Taking(harness, "a") + Taking(harness, "b")));

        Assert.Equal(cpus + 1, most);
        Assert.Equal((2, 2), (harness.Running("Front", "test:v2", "a"), harness.Running("Front", "test:v2", "b")));
        Assert.Equal(cpus == 4 ? 1 : 0, harness.Logs.GetSnapshot().Count(r => r.Id.Id == EventIds.RolloutReplaces));
    }

    /// <summary>Who is first among the applications is not first among rollouts.</summary>
    [Fact]
    public void Box_ARolloutComesToAnother_TheOneUnderWayKeepsWhatItHas()
    {
        DeploymentGoal two = Front(2) with { NumCpus = 1 };
        ControllerHarness harness = new();
        _ = harness.Apply(new ApplyRequest([App("a", "test:v1", two, Back()), App("b", "test:v1", two, Back())], Box: new() { Cpus = 4, MemoryMb = 1_000_000 }));
        harness.Run(TimeSpan.FromMilliseconds(200));

        _ = harness.Apply(App("a", "test:v1", two, Back()), App("b", "test:v2", two, Back()));
        Assert.Equal((2, 3), (Taking(harness, "a"), Taking(harness, "b")));
        _ = harness.Apply(App("a", "test:v2", two, Back()), App("b", "test:v2", two, Back()));

        harness.Run(eachStep: () => Assert.InRange(Taking(harness, "a") + Taking(harness, "b"), 2, 5));
        Assert.Equal((2, 2), (harness.Running("Front", "test:v2", "a"), harness.Running("Front", "test:v2", "b")));
    }

    [Fact]
    public void Box_IsExceededAlready_TheRolloutReplacesAndTheLogSaysWhy()
    {
        // The minimum is below what the box holds by nothing: the memory of one more replica is not there.
        ControllerHarness harness = Deployed(new BoxConfig { MemoryMb = int.MaxValue }, Front(1) with { MemoryMb = int.MaxValue });

        _ = harness.Apply(App("app", "test:v2", Front(1) with { MemoryMb = int.MaxValue }, Back()));

        Assert.Single(harness.Logs.GetSnapshot(), r => r.Id.Id == EventIds.RolloutReplaces);
        Assert.Contains(harness.Acts.Pending, a => a.Kind == ActKind.Stop);
    }

    /// <summary>The way back is to the number that the box holds, from the first start on, and who failed is not told to have been scaled.</summary>
    [Fact]
    public void Box_CodeFails_TheWayBackIsSharedBeforeReplicasStart()
    {
        DeploymentGoal front = Front(6) with { NumCpus = 1, RollingUpdatePercentage = 1, MaxConstructorRetryCount = 1 };
        ControllerHarness harness = Deployed(new BoxConfig { Cpus = 3, MemoryMb = 1_000_000 }, front);
        Assert.Equal(3, harness.Running("Front", "test:v1"));
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:v2" && act.Deployment.Name == "Front" ? "bad" : null;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v2", front, Back()));
        harness.Run(eachStep: () => Assert.InRange(harness.Deployment("Front").Replicas.Count, 3, 4));

        Assert.True(applied.IsCompleted);
        Assert.Equal(3, harness.Running("Front", "test:v1"));
        Assert.Equal(3, harness.Acts.All.Count(a => a.Kind == ActKind.Start && a.ImportPath == "test:v1" && a.Deployment.Name == "Front"));
        Assert.Equal((3, DeploymentStatus.DeployFailed), (harness.Deployment("Front").NumReplicas, harness.Deployment("Front").Status));
        Assert.Contains("bad", harness.Deployment("Front").Message, StringComparison.Ordinal);
        Assert.Contains("Held back by the box", harness.Deployment("Front").HeldBack, StringComparison.Ordinal);
    }

    [Fact]
    public void Box_AtomicDeployFails_EveryWayBackIsSharedBeforeReplicasStart()
    {
        DeploymentGoal front = Front(6) with { NumCpus = 1, MaxConstructorRetryCount = 1 };
        ControllerHarness harness = Deployed(new BoxConfig { Cpus = 3, MemoryMb = 1_000_000 }, front);
        harness.Fails = act => act.Kind == ActKind.Start && act.Deployment.Served.Application == "bad" ? "bad" : null;

        Task<ApplyOutcome> applied = harness.Apply(new ApplyRequest(
            [App("app", "test:v2", front, Back()), App("bad", "test:v1", Front() with { MaxConstructorRetryCount = 1 }, Back())], Atomic: true));
        harness.Run(eachStep: () => Assert.InRange(harness.Deployment("Front").Replicas.Count(r => r.State != ReplicaState.Draining), 2, 4));

        Assert.True(applied.IsCompleted);
        Assert.Equal((3, 3), (harness.Deployment("Front").NumReplicas, harness.Running("Front", "test:v1")));
    }

    /// <summary>Whoever is held back gets what another leaves, though nobody scales.</summary>
    [Fact]
    public void Box_AnApplicationGoes_TheOtherGetsItsPart()
    {
        ControllerHarness harness = new();
        ApplicationGoal one = App("one", "test:v1", Front(4) with { NumCpus = 1 }, Back());
        ApplicationGoal two = App("two", "test:v1", Front(4) with { NumCpus = 1 }, Back());
        _ = harness.Apply(new ApplyRequest([one, two], Box: new BoxConfig { Cpus = 4, MemoryMb = 1_000_000 }));
        harness.Run();
        Assert.Equal((2, 2), (harness.Running("Front", "test:v1", "one"), harness.Running("Front", "test:v1", "two")));

        _ = harness.Apply(new ApplyRequest([one], Atomic: true));
        harness.Run();

        Assert.Equal((4, null), (harness.Running("Front", "test:v1", "one"), harness.Deployment("Front", "one").HeldBack));
    }

    private static ControllerHarness Deployed(DeploymentGoal front) => Deployed(new BoxConfig(), front);

    private static ControllerHarness Deployed(BoxConfig box, DeploymentGoal front)
    {
        ControllerHarness harness = new();
        _ = harness.Apply(new ApplyRequest([App("app", "test:v1", front, Back())], Box: box));
        harness.Run(TimeSpan.FromMilliseconds(200));
        return harness;
    }

    /// <summary>Replicas of the front that are not on their way out.</summary>
    private static int Taking(ControllerHarness harness, string application) => harness.Deployment("Front", application).Replicas.Count(r => r.State != ReplicaState.Draining);

    private static List<Admission> Arrive(ControllerHarness harness, int count)
    {
        ServedApplication served = harness.Serving.Current.Applications[0];
        return [.. Enumerable.Range(0, count).Select(_ => served.Ingress.Gate.Admit(served.Handle))];
    }

    /// <summary>Ends everything, those that were granted meanwhile too.</summary>
    private static void End(List<Admission> requests)
    {
        foreach (Admission request in requests.Where(r => r.Kind == AdmissionKind.Run))
        {
            request.Lease.End(RequestEnd.Completed);
        }

        foreach (Admission request in requests.Where(r => r.Kind == AdmissionKind.Wait && !r.Waiter!.TryLeave(WaitEnd.Cancelled)))
        {
            request.Waiter!.Lease.End(RequestEnd.Completed);
        }
    }
}
