using Serve.Embedded.Controller;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Guards;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>What becomes of a change: it rolls out, or everything is as it was.</summary>
public sealed class RolloutTests
{
    [Fact]
    public async Task Apply_AnotherCode_NeverFewerThanWantedServe()
    {
        ControllerHarness harness = new();
        Task<ApplyOutcome> first = harness.Apply(App("app", "test:v1", Front(10), Back(2)));
        harness.Run();
        Assert.Empty((await Settled(first)).Failures);

        int least = int.MaxValue;
        int most = 0;
        Task<ApplyOutcome> second = harness.Apply(App("app", "test:v2", Front(10), Back(2)));
        harness.Run(eachStep: () =>
        {
            int serving = harness.Running("Front", "test:v1") + harness.Running("Front", "test:v2");
            least = Math.Min(least, serving);
            most = Math.Max(most, harness.Deployment("Front").Replicas.Count(r => r.State != ReplicaState.Draining));
        });

        Assert.Empty((await Settled(second)).Failures);
        Assert.Equal(10, least);
        Assert.Equal(12, most);
        Assert.Equal(10, harness.Running("Front", "test:v2"));
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.ConfigUpdateCompleted), StatusOf(harness, "Front"));
    }

    /// <summary>With the old version back at full strength.</summary>
    [Fact]
    [ContractRow(33)]
    public async Task Apply_TheNewCodeCannotStart_TheOldServesAtFullStrengthAndTheReasonIsTold()
    {
        ControllerHarness harness = await DeployedAsync(Front(10), Back(2));
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:v2" && act.Deployment.Name == "Front" ? "no such model" : null;
        int least = int.MaxValue;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v2", Front(10), Back(2)));
        harness.Run(TimeSpan.FromSeconds(20), eachStep: () => least = Math.Min(least, harness.Running("Front", "test:v1")));

        string failure = Assert.Single((await Settled(applied)).Failures);
        Assert.Contains("no such model", failure, StringComparison.Ordinal);
        Assert.Contains("the last line before it failed", failure, StringComparison.Ordinal);
        Assert.Equal(10, least);
        Assert.Equal(0, harness.Running("Front", "test:v2"));
        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
        Assert.Equal((DeploymentStatus.DeployFailed, StatusTrigger.ReplicaStartupFailed), StatusOf(harness, "Front"));
        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Back").Status);
    }

    /// <summary>Of a version of which one deployment cannot start, no replica of another is ever given a request.</summary>
    [Fact]
    [ContractRow(34)]
    public async Task Apply_OneDeploymentOfTheNewCodeCannotStart_NoneOfItEverServes()
    {
        ControllerHarness harness = await DeployedAsync(Front(4), Back(4));
        _ = harness.Apply(App("app", "test:v2", Front(4), Back(4)));
        harness.Run();
        Assert.Equal(4, harness.Running("Front", "test:v2"));
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:v3" && act.Deployment.Name == "Back" ? "bad" : null;

        Task<ApplyOutcome> bad = harness.Apply(App("app", "test:v3", Front(4), Back(4)));
        harness.Run(TimeSpan.FromSeconds(20), eachStep: () => Assert.Equal(0, harness.Running("Front", "test:v3")));
        Assert.Single((await Settled(bad)).Failures);
        Task<ApplyOutcome> back = harness.Apply(App("app", "test:v2", Front(4), Back(4)));
        harness.Run();

        Assert.Empty((await Settled(back)).Failures);
        Assert.Equal(ApplicationStatus.Running, harness.Application().Status);
        Assert.Equal(4, harness.Running("Front", "test:v2"));
    }

    [Fact]
    public async Task Apply_TheNewCodeFailsInItsSecondWave_TheOldIsPutBackAtFullStrength()
    {
        ControllerHarness harness = await DeployedAsync(Front(10), Back(1));
        int started = 0;
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:v2" && act.Deployment.Name == "Front" && ++started > 2 ? "disk full" : null;
        int least = int.MaxValue;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v2", Front(10), Back(1)));
        harness.Run(TimeSpan.FromSeconds(60), eachStep: () => least = Math.Min(least, harness.Running("Front", "test:v1") + harness.Running("Front", "test:v2")));

        Assert.EndsWith("Error: disk full. Its last log lines: the last line before it failed", Assert.Single((await Settled(applied)).Failures), StringComparison.Ordinal);
        Assert.Equal(10, least);
        Assert.Equal(10, harness.Running("Front", "test:v1"));
        Assert.Equal(1, harness.Running("Back", "test:v1"));
        Assert.Equal(0, harness.Running("Back", "test:v2"));
    }

    [Fact]
    public async Task Apply_WhatFailedAgainUnchanged_IsNotTriedAgainUnlessForced()
    {
        ControllerHarness harness = await DeployedAsync();
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:v2" ? "bad" : null;
        _ = harness.Apply(App("app", "test:v2"));
        harness.Run();
        int starts = harness.Acts.All.Count(a => a.Kind == ActKind.Start);

        Task<ApplyOutcome> again = harness.Apply(App("app", "test:v2"));
        harness.Run();
        Assert.Contains("bad", Assert.Single((await Settled(again)).Failures), StringComparison.Ordinal);
        Assert.Equal(starts, harness.Acts.All.Count(a => a.Kind == ActKind.Start));

        harness.Fails = _ => null;
        Task<ApplyOutcome> forced = harness.Apply(new ApplyRequest([App("app", "test:v2")], Force: true));
        harness.Run();
        Assert.Empty((await Settled(forced)).Failures);
        Assert.Equal(1, harness.Running("Front", "test:v2"));
    }

    [Fact]
    public async Task Apply_LiveKeysWithARestart_ApplyWhenTheRestartHasSucceeded()
    {
        ControllerHarness harness = await DeployedAsync(Front(2), Back(1));
        ApplicationGoal changed = App("app", "test:v2", Front(2) with { MaxQueuedRequests = 7, MaxOngoingRequests = 9 }, Back(1)) with { RoutePrefix = "/moved" };

        _ = harness.Apply(changed);
        Assert.Equal("/app", harness.Serving.Current.Applications[0].RoutePrefix);
        Assert.Equal(100, harness.Deployment("Front").Served.Limits.MaxQueuedRequests);
        Assert.All(harness.Deployment("Front").Served.Gate.Replicas, r => Assert.Equal(5, r.Permits.Limit));

        harness.Run();
        Assert.Equal("/moved", harness.Serving.Current.Applications[0].RoutePrefix);
        Assert.Equal(7, harness.Deployment("Front").Served.Limits.MaxQueuedRequests);
        Assert.All(harness.Deployment("Front").Served.Gate.Replicas, r => Assert.Equal(9, r.Permits.Limit));
    }

    [Fact]
    public async Task Apply_LiveKeysWithARestartThatFails_NeverApply()
    {
        ControllerHarness harness = await DeployedAsync();
        harness.Fails = act => act.Kind == ActKind.Start ? "bad" : null;

        _ = harness.Apply(App("app", "test:v2", Front() with { MaxQueuedRequests = 7 }, Back()) with { RoutePrefix = "/moved" });
        harness.Run(eachStep: () => Assert.Equal("/app", harness.Serving.Current.Applications[0].RoutePrefix));

        Assert.Equal(100, harness.Deployment("Front").Served.Limits.MaxQueuedRequests);
    }

    [Fact]
    public async Task Apply_UserConfigIsRefused_TheApplicationGoesBackWithEverythingThatCameWithIt()
    {
        ControllerHarness harness = await DeployedAsync(Front(3) with { UserConfig = "{}" }, Back());
        harness.Fails = act => act.Kind == ActKind.Reconfigure && act.UserConfig == """{"bad":1}""" ? "bad is not allowed" : null;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v1", Front(3) with { UserConfig = """{"bad":1}""", MaxQueuedRequests = 7 }, Back()));
        harness.Run();

        Assert.Contains("bad is not allowed", Assert.Single((await Settled(applied)).Failures), StringComparison.Ordinal);
        Assert.Single(harness.Acts.All, a => a.Kind == ActKind.Reconfigure && a.UserConfig == """{"bad":1}""");
        Assert.Equal(100, harness.Deployment("Front").Served.Limits.MaxQueuedRequests);
        Assert.Equal((DeploymentStatus.DeployFailed, StatusTrigger.ConfigUpdateFailed), StatusOf(harness, "Front"));
    }

    [Fact]
    public async Task Apply_AReplicaRefusesTheWayBack_AnotherTakesItsPlaceWithTheGoodValue()
    {
        ControllerHarness harness = await DeployedAsync(Front(3) with { UserConfig = "{}", RollingUpdatePercentage = 1 }, Back());
        Replica[] before = [.. harness.Deployment("Front").Replicas];
        int tried = 0;
        harness.Fails = act => act.Kind != ActKind.Reconfigure ? null
            : act.UserConfig == "{}" ? "stuck"
            : ++tried == 3 ? "not this one" : null;
        int least = int.MaxValue;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v1", Front(3) with { UserConfig = """{"a":1}""", RollingUpdatePercentage = 1 }, Back()));
        harness.Run(eachStep: () => least = Math.Min(least, harness.Running("Front", "test:v1")));

        Assert.Contains("not this one", Assert.Single((await Settled(applied)).Failures), StringComparison.Ordinal);
        Assert.Equal(3, least);
        Assert.Equal(3, harness.Running("Front", "test:v1"));
        Assert.Single(harness.Deployment("Front").Replicas, before.Contains);
        Assert.All(harness.Acts.All.Where(a => a.Kind == ActKind.Start && !before.Contains(a.Replica)), a => Assert.True(a.Deployment.Name == "Back" || a.UserConfig == "{}"));
    }

    [Fact]
    public async Task Apply_OtherTypes_AWholeRevisionComesUpBesideAndTakesOver()
    {
        ControllerHarness harness = await DeployedAsync(Front(2), Back(2));
        Serve.Embedded.Handles.ServedDeployment before = harness.Serving.Current.Applications[0].Ingress;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:other", Front(2), Back(2)));
        Assert.Same(before, harness.Serving.Current.Applications[0].Ingress);
        harness.Run();

        Assert.Empty((await Settled(applied)).Failures);
        Assert.NotSame(before, harness.Serving.Current.Applications[0].Ingress);
        Assert.Equal(2, harness.Running("Back", "test:other"));
        Assert.Empty(before.Gate.Replicas);
        Assert.Equal("/app", harness.Serving.Current.Applications[0].RoutePrefix);
    }

    [Fact]
    public async Task Apply_OtherTypesThatCannotStart_TheOldRevisionGoesOn()
    {
        ControllerHarness harness = await DeployedAsync();
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:other" ? "bad" : null;

        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:other"));
        harness.Run();

        Assert.Single((await Settled(applied)).Failures);
        Assert.Equal(1, harness.Running("Front", "test:v1"));
        Assert.Equal(1, harness.Running("Back", "test:v1"));
    }

    [Fact]
    public async Task Apply_Atomic_OneFailsSoAllGoBack()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("a"), App("b"), App("gone"));
        harness.Run();
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:v3" ? "bad" : null;

        Task<ApplyOutcome> applied = harness.Apply(new ApplyRequest([App("a", "test:v2"), App("b", "test:v3"), App("new")], Atomic: true));
        harness.Run();

        Assert.Contains("bad", string.Concat((await Settled(applied)).Failures), StringComparison.Ordinal);
        Assert.Equal(["a", "b", "gone"], harness.Status.Applications.Where(a => a.Status != ApplicationStatus.Deleting).Select(a => a.Name).Order(StringComparer.Ordinal));
        Assert.Equal(1, harness.Running("Front", "test:v1", "a"));
        Assert.Equal(1, harness.Running("Front", "test:v1", "b"));
        Assert.Equal(1, harness.Running("Front", "test:v1", "gone"));
    }

    [Fact]
    public async Task Apply_AtomicAndAllSucceed_WhatIsNotWantedGoesAtTheEnd()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("a"), App("gone"));
        harness.Run();

        Task<ApplyOutcome> applied = harness.Apply(new ApplyRequest([App("a", "test:v2")], Atomic: true));
        Assert.Equal(2, harness.Serving.Current.Applications.Count);
        harness.Run();

        Assert.Empty((await Settled(applied)).Failures);
        Assert.Equal("a", Assert.Single(harness.Status.Applications).Name);
    }

    [Fact]
    public async Task Apply_NothingToGoBackTo_GoesOnTryingFurtherAndFurtherApart()
    {
        ControllerHarness harness = new() { Fails = act => act.Kind == ActKind.Start && act.Deployment.Name == "Back" ? "not mounted" : null };
        Task<ApplyOutcome> applied = harness.Apply(App());
        harness.Run(TimeSpan.FromSeconds(5));

        Assert.Contains("not mounted", Assert.Single((await Settled(applied)).Failures), StringComparison.Ordinal);
        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
        int tries = harness.Acts.All.Count;
        harness.Run(TimeSpan.FromMinutes(10));
        Assert.InRange(harness.Acts.All.Count - tries, 8, 16);

        harness.Fails = _ => null;
        harness.Run(TimeSpan.FromSeconds(73));
        Assert.Equal(ApplicationStatus.Running, harness.Application().Status);
        Assert.Equal((DeploymentStatus.Healthy, StatusTrigger.Unspecified), StatusOf(harness, "Back"));
    }

    [Fact]
    public async Task Apply_Removed_CallersEndBeforeCallees()
    {
        ControllerHarness harness = await DeployedAsync(Front(2), Back(2));

        _ = harness.Apply();
        Assert.Equal(ApplicationStatus.Deleting, harness.Application().Status);
        harness.Run();

        List<string> stops = [.. harness.Acts.All.Where(a => a.Kind == ActKind.Stop).Select(a => a.Deployment.Name)];
        Assert.Equal(["Front", "Front", "Back", "Back"], stops);
        Assert.Empty(harness.Status.Applications);
    }

    [Fact]
    public async Task Shutdown_ReplicasStillStart_EndsWhenNothingRuns()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App());

        Task done = harness.Shutdown();
        Assert.False(done.IsCompleted);
        harness.Run(TimeSpan.Zero);

        Assert.True(done.IsCompleted);
        await done;
    }

    /// <summary>Nothing is left to wait for then, which is no success: it would be kept as good for the next start.</summary>
    [Fact]
    public async Task Shutdown_AGoalIsOpen_EndsItAsStopped()
    {
        ControllerHarness harness = new();
        Task<ApplyOutcome> applied = harness.Apply(App());

        _ = harness.Shutdown();

        Assert.True((await Settled(applied)).IsStopped);
        Assert.Contains("The server is stopping", Assert.Single((await applied).Failures), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Apply_AfterTheShutdown_StartsNothingAndEndsAsStopped(bool isOver)
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App());
        harness.Run();
        Task done = harness.Shutdown();
        if (isOver)
        {
            harness.Run();
            Assert.True(done.IsCompleted);
        }

        ApplyRequest late = new([App()]);
        Task<ApplyOutcome> applied = harness.Apply(late);

        Assert.True((await Settled(applied)).IsStopped);
        Assert.True(late.Taken.IsCompleted);
        harness.Run();
        Assert.True(done.IsCompleted);
        Assert.Equal(2, harness.Acts.All.Count(a => a.Kind == ActKind.Start));
    }

    /// <summary>Whoever reads that in a log looks for the operator who did it.</summary>
    [Fact]
    public async Task Shutdown_Always_CallsNoApplicationRemovedButTheOneThatWas()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("kept"), App("gone"));
        harness.Run();
        _ = harness.Apply(App("kept"));

        Task done = harness.Shutdown();
        harness.Run();

        await done;
        Assert.Equal(["gone"], harness.Logs.GetSnapshot().Where(r => r.Id.Id == EventIds.ApplicationRemoved).Select(r => r.GetStructuredStateValue("Application")));
    }

    /// <summary>Nothing runs beside the test, so what has not settled by now never will.</summary>
    private static Task<ApplyOutcome> Settled(Task<ApplyOutcome> applied)
    {
        Assert.True(applied.IsCompleted, "What was applied has not settled.");
        return applied;
    }

    private static (DeploymentStatus Status, StatusTrigger Trigger) StatusOf(ControllerHarness harness, string deployment) =>
        (harness.Deployment(deployment).Status, harness.Deployment(deployment).Trigger);

    private static async Task<ControllerHarness> DeployedAsync(params DeploymentGoal[] deployments)
    {
        ControllerHarness harness = new();
        Task<ApplyOutcome> applied = harness.Apply(App("app", "test:v1", deployments));
        harness.Run();
        Assert.Empty((await Settled(applied)).Failures);
        return harness;
    }
}
