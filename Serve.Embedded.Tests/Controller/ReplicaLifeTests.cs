using Serve.Embedded.Controller;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Guards;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>Starting, health, scaling and ending of replicas.</summary>
public sealed class ReplicaLifeTests
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(11.5);

    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 6)]
    [InlineData(7, 20)]
    [ContractRow(23)]
    public void Start_ConstructorAlwaysFails_TheDeploymentFailsAndNothingRuns(int replicas, int failures)
    {
        ControllerHarness harness = new() { Fails = act => act.Deployment.Name == "Front" ? "always" : null };
        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v1", Front(replicas), Back()));
        while (!applied.IsCompleted)
        {
            harness.Run(TimeSpan.FromMilliseconds(50));
        }

        Assert.InRange(harness.Acts.All.Count(a => a.Deployment.Name == "Front"), failures, failures + replicas);
        Assert.Equal((DeploymentStatus.DeployFailed, StatusTrigger.ReplicaStartupFailed), StatusOf(harness));
        Assert.StartsWith("The deployment failed to start ", harness.Deployment("Front").Message, StringComparison.Ordinal);
        Assert.Equal(0, harness.Running("Front", "test:v1"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [ContractRow(24)]
    public async Task Start_TheFirstConstructorFails_EndsWithAllReplicas(int replicas)
    {
        int calls = 0;
        ControllerHarness harness = new() { Fails = act => act.Deployment.Name == "Front" && calls++ == 0 ? "not yet" : null };

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v1", Front(replicas), Back()));
        harness.Run();

        Assert.True(applied.IsCompleted);
        Assert.Empty((await applied).Failures);
        Assert.Equal(replicas, harness.Running("Front", "test:v1"));
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.ConfigUpdateCompleted), StatusOf(harness));
    }

    [Fact]
    public void Start_TakesLong_IsWarnedOfEveryHalfMinuteAndNeverBrokenOff()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", "test:v1", Front(), Back()));

        harness.Advance(TimeSpan.FromSeconds(31));
        harness.Advance(TimeSpan.FromSeconds(31));

        Assert.Equal(4, harness.Logs.GetSnapshot().Count(r => r.Id.Id == EventIds.ReplicaStartsSlowly));
        Assert.Equal(2, harness.Acts.Pending.Count);
    }

    /// <summary>Every second check fails, and nobody is replaced.</summary>
    [Fact]
    [ContractRow(25)]
    public void Health_EverySecondCheckFails_IsNeverReplaced()
    {
        ControllerHarness harness = Deployed();
        for (int i = 0; i < 12; i++)
        {
            Check(harness, i % 2 == 0 ? "odd" : null);
        }

        Assert.DoesNotContain(harness.Acts.All, a => a.Kind == ActKind.Stop);
        Assert.Equal(DeploymentStatus.Healthy, StatusOf(harness).Status);
    }

    /// <summary>Exactly three failed checks in a row, and the count begins anew for the replica that takes its place.</summary>
    [Fact]
    [ContractRow(25)]
    public void Health_ThreeChecksInARowFail_IsReplacedTwiceOver()
    {
        ControllerHarness harness = Deployed();
        for (int round = 1; round <= 2; round++)
        {
            Check(harness, "down");
            Check(harness, "down");
            Assert.Equal(round - 1, harness.Acts.All.Count(a => a.Kind == ActKind.Stop));
            Check(harness, "down");
            Assert.Equal(round, harness.Acts.All.Count(a => a.Kind == ActKind.Stop));
            Assert.Equal((DeploymentStatus.Unhealthy, StatusTrigger.HealthCheckFailed), StatusOf(harness));
            Assert.StartsWith("A replica's health check failed.", harness.Deployment("Front").Message, StringComparison.Ordinal);
            harness.Run(TimeSpan.FromSeconds(1));
            Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.Unspecified), StatusOf(harness));
        }
    }

    /// <summary>Only the bad one of two is replaced.</summary>
    [Fact]
    [ContractRow(26)]
    public void Health_OneOfTwoFails_OnlyThatOneIsReplaced()
    {
        ControllerHarness harness = Deployed(2);
        Replica bad = harness.Deployment("Front").Replicas[0];
        for (int i = 0; i < 3; i++)
        {
            Check(harness, "down", bad);
        }

        Assert.Equal(bad, Assert.Single(harness.Acts.All, a => a.Kind == ActKind.Stop).Replica);
        harness.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(2, harness.Running("Front", "test:v1"));
    }

    /// <summary>Everything fails for good.</summary>
    [Fact]
    [ContractRow(26)]
    public void Health_EveryCheckFails_TheDeploymentIsUnhealthyAndStaysSo()
    {
        ControllerHarness harness = Deployed();
        harness.Fails = act => act.Kind == ActKind.Start && act.Deployment.Name == "Front" ? "the health check failed" : null;
        for (int i = 0; i < 3; i++)
        {
            Check(harness, "down");
        }

        harness.Run(TimeSpan.FromMinutes(3));

        Assert.Equal(DeploymentStatus.Unhealthy, StatusOf(harness).Status);
        Assert.Equal(ApplicationStatus.Unhealthy, harness.Application().Status);
    }

    [Fact]
    public void Health_ACheckStillRuns_NoOtherIsAskedFor()
    {
        ControllerHarness harness = Deployed();
        harness.Advance(Period);
        harness.Advance(Period);
        harness.Advance(Period);

        Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.CheckHealth && a.Deployment.Name == "Front");
    }

    /// <summary>Nothing but another code makes other replicas.</summary>
    [Fact]
    [ContractRow(30)]
    public void Apply_OtherOptionsOfTheSameCode_NoReplicaIsReplaced()
    {
        DeploymentGoal goal = Front(2) with { UserConfig = "{}" };
        (DeploymentGoal Changed, bool Reconfigures)[] changes =
        [
            (goal with { UserConfig = """{"a":1}""" }, true),
            (goal with { MaxOngoingRequests = 7 }, false),
            (goal with { MaxQueuedRequests = 7 }, false),
            (goal with { MaxQueueWait = TimeSpan.FromSeconds(1) }, false),
            (goal with { MaxWebsockets = 1 }, false),
            (goal with { GracefulShutdownTimeout = TimeSpan.FromSeconds(1) }, false),
            (goal with { HealthCheckPeriod = TimeSpan.FromSeconds(1) }, false),
            (goal with { HealthCheckTimeout = TimeSpan.FromSeconds(1) }, false),
            (goal with { MaxConstructorRetryCount = 1 }, false),
            (goal with { RollingUpdatePercentage = 1 }, false),
            (goal with { BackpressureStatusCode = 429 }, false),
        ];
        foreach ((DeploymentGoal changed, bool reconfigures) in changes)
        {
            ControllerHarness harness = new();
            _ = harness.Apply(App("app", "test:v1", goal, Back()));
            harness.Run();
            Replica[] before = [.. harness.Deployment("Front").Replicas];

            Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v1", changed, Back()));
            harness.Run();

            Assert.True(applied.IsCompleted);
            Assert.Equal(before, harness.Deployment("Front").Replicas);
            Assert.Equal(reconfigures ? 2 : 0, harness.Acts.All.Count(a => a.Kind == ActKind.Reconfigure));
            Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.ConfigUpdateCompleted), StatusOf(harness));
        }
    }

    /// <summary>A replica that is starting finishes with what it was started with, and is then reconfigured.</summary>
    [Fact]
    public void Apply_UserConfigChangesWhileAReplicaStarts_ItIsReconfiguredWhenItIsUp()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", "test:v1", Front() with { UserConfig = "{}" }, Back()));

        _ = harness.Apply(App("app", "test:v1", Front() with { UserConfig = """{"a":1}""" }, Back()));
        Assert.DoesNotContain(harness.Acts.All, a => a.Kind == ActKind.Reconfigure);
        harness.Run();

        Assert.Equal("""{"a":1}""", Assert.Single(harness.Acts.All, a => a.Kind == ActKind.Reconfigure).UserConfig);
        Assert.Equal(DeploymentStatus.Healthy, StatusOf(harness).Status);
    }

    [Fact]
    [ContractRow(31)]
    public void Apply_OtherNumbersOfReplicas_StatusesFollow()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", "test:v1", Front(5), Back()));
        Assert.Equal((DeploymentStatus.Updating, StatusTrigger.ConfigUpdateStarted), StatusOf(harness));

        _ = harness.Apply(App("app", "test:v1", Front(10), Back()));
        Assert.Equal((DeploymentStatus.Updating, StatusTrigger.ConfigUpdateStarted), StatusOf(harness));
        Assert.Equal(10, harness.Deployment("Front").Replicas.Count);
        harness.Run();
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.ConfigUpdateCompleted), StatusOf(harness));

        _ = harness.Apply(App("app", "test:v1", Front(20), Back()));
        Assert.Equal((DeploymentStatus.Upscaling, StatusTrigger.ConfigUpdateStarted), StatusOf(harness));
        Assert.Equal("Upscaling from 10 to 20 replicas.", harness.Deployment("Front").Message);
        harness.Run();
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.UpscaleCompleted), StatusOf(harness));

        _ = harness.Apply(App("app", "test:v1", Front(5), Back()));
        Assert.Equal((DeploymentStatus.Downscaling, StatusTrigger.ConfigUpdateStarted), StatusOf(harness));
        Assert.Equal(15, harness.Deployment("Front").Replicas.Count(r => r.State == ReplicaState.Draining));
        harness.Run();
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.DownscaleCompleted), StatusOf(harness));
    }

    [Fact]
    public void Apply_TheSameAgain_IsAnEmptyPlan()
    {
        ControllerHarness harness = Deployed();
        int acts = harness.Acts.All.Count;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v1", Front(), Back()));

        Assert.True(applied.IsCompleted);
        Assert.Equal(acts, harness.Acts.All.Count);
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.ConfigUpdateCompleted), StatusOf(harness));
    }

    /// <summary>For what cannot be killed.</summary>
    [Fact]
    [ContractRow(32)]
    public void Stop_TheHandlerWillNotEnd_IsAbandonedAndCountedUntilItDoes()
    {
        ControllerHarness harness = Deployed(2);
        _ = harness.Apply(App("app", "test:v1", Front(1), Back()));
        Act stop = Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Stop);

        harness.Acts.Abandon(stop);
        harness.Step();
        Assert.Equal(ReplicaState.Abandoned, stop.Replica!.State);
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.DownscaleCompleted), StatusOf(harness));

        harness.Acts.End(stop);
        harness.Step();
        Assert.Equal(ReplicaState.Stopped, stop.Replica.State);
    }

    /// <summary>Their threads cannot be taken back: once there are as many again as are wanted, no more start, and the operator is told why until some have ended.</summary>
    [Fact]
    public void Stop_HandlersHangAgainAndAgain_IsUnhealthyWithTheReasonUntilOneEnds()
    {
        ControllerHarness harness = Deployed();
        Act first = Hang(harness);
        Assert.Equal(1, harness.Running("Front", "test:v1"));
        Hang(harness);

        DeploymentReport front = harness.Deployment("Front");
        Assert.Equal((DeploymentStatus.Unhealthy, 2, 0), (front.Status, front.Abandoned, front.Replicas.Count));
        Assert.StartsWith("2 replica(s) were abandoned: ", front.Message, StringComparison.Ordinal);
        ServedApplication served = harness.Serving.Current.Applications[0];
        Assert.Equal(AdmissionKind.Unavailable, served.Ingress.Gate.Admit(served.Handle).Kind);

        harness.Acts.End(first);
        harness.Step();
        harness.Run();

        Assert.Equal((1, DeploymentStatus.Healthy), (harness.Running("Front", "test:v1"), harness.Deployment("Front").Status));
        Assert.Equal(AdmissionKind.Run, served.Ingress.Gate.Admit(served.Handle).Kind);
    }

    /// <summary>Other code could not start either: the deploy fails at once and says why, and does not wait for ever.</summary>
    [Fact]
    public async Task Apply_OtherCodeWhileAbandonedHandlersHoldTheirThreads_FailsWithTheReason()
    {
        ControllerHarness harness = Deployed();
        Hang(harness);
        Hang(harness);

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v2", Front(), Back()));
        harness.Run();

        Assert.True(applied.IsCompletedSuccessfully);
        Assert.Contains("2 replica(s) were abandoned: ", Assert.Single((await applied).Failures), StringComparison.Ordinal);
        Assert.DoesNotContain(harness.Acts.All, a => a.Kind == ActKind.Start && a.ImportPath == "test:v2" && a.Deployment.Name == "Front");
    }

    [Fact]
    public void Rank_ReplicasComeAndGo_IsTheLowestFreeAndCompactWhenAllIsDone()
    {
        ControllerHarness harness = Deployed(4);
        Assert.Equal([0, 1, 2, 3], Ranks(harness));
        Replica first = harness.Deployment("Front").Replicas[0];
        for (int i = 0; i < 3; i++)
        {
            Check(harness, "down", first);
        }

        // The one that drains still has its rank.
        Assert.Equal([0, 1, 2, 3, 4], Ranks(harness));
        harness.Run();
        Assert.Equal([0, 1, 2, 3], Ranks(harness).Order());
        _ = harness.Apply(App("app", "test:v1", Front(2), Back()));
        harness.Run();
        Assert.Equal([0, 1], Ranks(harness).Order());
    }

    private static int[] Ranks(ControllerHarness harness) => [.. harness.Deployment("Front").Replicas.Select(r => r.Rank)];

    private static (DeploymentStatus Status, StatusTrigger Trigger) StatusOf(ControllerHarness harness) => (harness.Deployment("Front").Status, harness.Deployment("Front").Trigger);

    private static ControllerHarness Deployed(int replicas = 1)
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", "test:v1", Front(replicas), Back()));
        harness.Run();
        return harness;
    }

    /// <summary>The replica that runs fails its checks, and its handler does not end.</summary>
    private static Act Hang(ControllerHarness harness)
    {
        Replica hangs = Assert.Single(harness.Deployment("Front").Replicas, r => r.State == ReplicaState.Running);
        for (int i = 0; i < 3; i++)
        {
            Check(harness, "down", hangs);
        }

        Act stop = Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Stop && a.Replica == hangs);
        harness.Acts.Abandon(stop);
        harness.Step();
        foreach (Act start in harness.Acts.Pending.Where(a => a.Kind == ActKind.Start).ToList())
        {
            harness.Acts.End(start);
            harness.Step();
        }

        return stop;
    }

    /// <summary>Lets the next checks of the front come and end: all alike, or well but for one replica.</summary>
    private static void Check(ControllerHarness harness, string? error, Replica? only = null)
    {
        harness.Advance(Period);
        foreach (Act check in harness.Acts.Pending.Where(a => a.Kind == ActKind.CheckHealth).ToList())
        {
            bool fails = check.Deployment.Name == "Front" && (only is null || check.Replica == only);
            harness.Acts.End(check, fails ? error : null);
        }

        harness.Step();
    }
}
