using Serve.Embedded.Controller;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>What the simulation has found about ways back.</summary>
public sealed class WayBackTests
{
    /// <summary>Replicas of the old front still call the old back: it must not go when the code that did without it has failed.</summary>
    [Fact]
    public void RollBack_TheFailedCodeHadNoBack_TheBackThatIsCalledStays()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", "test:v1", Front(), Back()));
        harness.Run();
        ServedDeployment back = harness.Deployment("Back").Served;
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:solo" ? "bad" : null;

        _ = harness.Apply(App("app", "test:solo", Front()));
        harness.Run();

        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
        Assert.Same(back, harness.Deployment("Back").Served);
        Assert.Single(back.Gate.Replicas);
        Assert.DoesNotContain(harness.Acts.All, a => a.Kind == ActKind.AwaitWaiters);
    }

    /// <summary>The first replica has the value, and does not work with it: it alone was asked, and is given the one before again.</summary>
    [Fact]
    public void Apply_AReplicaIsUnwellWithItsUserConfig_TheOneBeforeComesBack()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", "test:v1", Front(2) with { UserConfig = "{}" }, Back()));
        harness.Run();
        harness.Fails = act => act.Kind == ActKind.Reconfigure && act.UserConfig == """{"a":1}""" ? FakeActs.Unwell : null;

        _ = harness.Apply(App("app", "test:v1", Front(2) with { UserConfig = """{"a":1}""" }, Back()));
        harness.Run();

        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
        Assert.All(harness.Deployment("Front").Replicas, r => Assert.Equal(ReplicaState.Running, r.State));
        Assert.Equal(["""{"a":1}""", "{}"], harness.Acts.All.Where(a => a.Kind == ActKind.Reconfigure).Select(a => a.UserConfig));
    }

    /// <summary>Nothing was good before, so there is no way back: the operator asks again, and is not told for ever that it was refused once.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Apply_AUserConfigWasRefusedAndNothingWasGood_TheSameAgainTriesAgain(bool force)
    {
        ControllerHarness harness = new() { Fails = act => act.Kind == ActKind.Reconfigure ? "bad" : null };
        _ = harness.Apply(App("app", "test:v1", Front() with { UserConfig = "{}" }, Back()));
        ApplicationGoal goal = App("app", "test:v1", Front() with { UserConfig = """{"a":1}""" }, Back());
        _ = harness.Apply(goal);
        harness.Run();
        Assert.Equal(DeploymentStatus.DeployFailed, harness.Deployment("Front").Status);

        harness.Fails = _ => null;
        _ = harness.Apply(new ApplyRequest([goal], Force: force));
        harness.Run();

        Assert.Equal(DeploymentStatus.Healthy, harness.Deployment("Front").Status);
    }

    /// <summary>A start that succeeds and the one that fails the version are told in one step.</summary>
    [Fact]
    public void Step_TheVersionFailsAsAReplicaOfItComesUp_TheReplicaIsGivenNothing()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(App("app", "test:v1", Front(4), Back()));
        harness.Run();
        _ = harness.Apply(App("app", "test:v2", Front(4) with { RollingUpdatePercentage = 0.5, MaxConstructorRetryCount = 1 }, Back()));
        EndStarts(harness, "Front", 2);
        EndStarts(harness, "Back", 1);
        harness.Step();
        Act[] next = [.. harness.Acts.Pending.Where(a => a.Kind == ActKind.Start && a.Deployment.Name == "Front")];
        Assert.Equal(2, next.Length);

        harness.Acts.End(next[0]);
        harness.Acts.End(next[1], "disk full");
        harness.Step();

        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
        Assert.NotEqual(ReplicaState.Running, next[0].Replica!.State);
    }

    private static void EndStarts(ControllerHarness harness, string deployment, int count)
    {
        Act[] starts = [.. harness.Acts.Pending.Where(a => a.Kind == ActKind.Start && a.Deployment.Name == deployment)];
        Assert.Equal(count, starts.Length);
        foreach (Act start in starts)
        {
            harness.Acts.End(start);
        }
    }
}
