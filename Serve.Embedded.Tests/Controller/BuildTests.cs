using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas.Workers;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>Applications whose file must be imported before it is known what they are, and those whose file cannot be.</summary>
public sealed class BuildTests
{
    [Fact]
    public async Task Apply_FileIsNotImportedYet_WhoAsksForItWaitsAndTheOthersRun()
    {
        ControllerHarness harness = new();
        ApplyRequest request = new([Solo() with { IsBuilding = true }, App("other")]);
        Task<ApplyOutcome> applied = harness.Apply(request);

        harness.Run();
        ServedApplication served = harness.Serving.Current.Applications[0];
        Admission admission = served.Ingress.Gate.Admit(served.Handle);

        Assert.Equal((ApplicationStatus.Deploying, "test:solo is being imported. Requests wait meanwhile."), (harness.Application().Status, harness.Application().Message));
        Assert.Equal(ApplicationStatus.Running, harness.Application("other").Status);
        Assert.True(served.ExpectsReplicas);
        Assert.Equal(AdmissionKind.Wait, admission.Kind);
        Assert.False(applied.IsCompleted);

        harness.Complete(request, Solo());
        harness.Run();

        Assert.Equal(WaitEnd.Granted, await admission.Waiter!.Ended);
        Assert.Equal(ApplicationStatus.Running, harness.Application().Status);
        Assert.Empty((await EndOf(applied)).Failures);
    }

    /// <summary>Its name is the file's business, so the guess may be wrong.</summary>
    [Fact]
    public async Task Built_UnderAnotherName_WhoWaitsIsSentOnAtOnce()
    {
        ControllerHarness harness = new();
        ApplyRequest request = new([Solo() with { IsBuilding = true, Deployments = [Front() with { Name = "Guess", GracefulShutdownTimeout = TimeSpan.Zero }], Code = new("test:guess", null) }]);
        _ = harness.Apply(request);
        ServedApplication served = harness.Serving.Current.Applications[0];
        Admission admission = served.Ingress.Gate.Admit(served.Handle);

        harness.Complete(request, Solo());
        harness.Run();

        Assert.Equal(WaitEnd.Unavailable, await admission.Waiter!.Ended);
        Assert.Equal("Front", harness.Serving.Current.Applications[0].Ingress.Name);
        Assert.Equal(1, harness.Running("Front", "test:solo"));
    }

    [Fact]
    public async Task Built_CannotBe_FailsWithoutAStartAndIsTriedAgainUpToAMinuteApartUntilItCan()
    {
        ControllerHarness harness = new() { Fails = act => act.Kind == ActKind.Start ? "the disk is not there" : null };
        ApplyRequest request = new([Broken()]);
        Task<ApplyOutcome> applied = harness.Apply(request);

        Assert.Equal(["Application 'app': Deployment 'Front': the disk is not there"], (await EndOf(applied)).Failures);
        Assert.Empty(harness.Acts.All);
        Assert.False(harness.Serving.Current.Applications[0].ExpectsReplicas);
        List<double> waits = [];
        for (int i = 0; i < 14; i++)
        {
            TimeSpan waited = TimeSpan.Zero;
            while (harness.Acts.Pending.Count == 0)
            {
                harness.Advance(TimeSpan.FromMilliseconds(10));
                waited += TimeSpan.FromMilliseconds(10);
                Assert.InRange(waited, TimeSpan.Zero, TimeSpan.FromSeconds(73));
            }

            waits.Add(waited.TotalSeconds);
            harness.Acts.End(harness.Acts.Pending[0], "the disk is not there");
            harness.Step();
        }

        Assert.InRange(waits[0], 0.07, 0.13);
        Assert.InRange(waits[^1], 47, 73);
        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
        Assert.False(request.Recovered.IsCompleted);

        harness.Fails = _ => null;
        harness.Complete(request, Solo());
        harness.Run();

        Assert.Equal(ApplicationStatus.Running, harness.Application().Status);
        Assert.True(request.Recovered.IsCompletedSuccessfully);
    }

    [Fact]
    public async Task Built_CannotBeAndNoReplicaIsWanted_FailsAllTheSame()
    {
        ControllerHarness harness = new();

        Task<ApplyOutcome> applied = harness.Apply(Broken(Front(0)));

        Assert.Single((await EndOf(applied)).Failures);
        harness.Advance(TimeSpan.FromSeconds(1));
        Assert.Single(harness.Acts.Pending, a => a.Kind == ActKind.Start);
    }

    /// <summary>With <c>rolling_update = "replace"</c> an old replica would go first, for nothing.</summary>
    [Fact]
    public async Task Apply_CannotBeBuiltAndAnotherIsGood_StopsNothingOfIt()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(Solo(Front(3) with { Replaces = true }));
        harness.Run();

        Task<ApplyOutcome> applied = harness.Apply(Broken(Front(3) with { Replaces = true }));
        harness.Run(TimeSpan.FromMinutes(3));

        Assert.Single((await EndOf(applied)).Failures);
        Assert.Equal(3, harness.Acts.All.Count(a => a.Kind == ActKind.Start));
        Assert.DoesNotContain(harness.Acts.All, a => a.Kind == ActKind.Stop);
        Assert.Equal(3, harness.Running("Front", "test:solo"));
        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
    }

    [Fact]
    public async Task Built_AnotherGoalHasTakenItsPlace_ChangesNothing()
    {
        ControllerHarness harness = new();
        BoxConfig box = new() { Cpus = 2 };
        ApplyRequest first = new([Broken()], Box: box);
        _ = harness.Apply(first);
        Task<ApplyOutcome> second = harness.Apply(new ApplyRequest([Broken(Front(2))], Box: box));

        harness.Complete(first, Solo());

        Assert.Single((await EndOf(second)).Failures);
        Assert.Equal(2, harness.Deployment("Front").NumReplicas);
        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application().Status);
    }

    private static async Task<ApplyOutcome> EndOf(Task<ApplyOutcome> applied)
    {
        Assert.True(applied.IsCompleted);
        return await applied;
    }

    private static ApplicationGoal Solo(DeploymentGoal? front = null) => App("app", "test:solo", front ?? Front());

    private static ApplicationGoal Broken(DeploymentGoal? front = null) =>
        Solo((front ?? Front()) with { Worker = new WorkerSettings { Command = new EquatableList<string>(["python3"]), WorkingDirectory = "/", BuildError = "the disk is not there" } });
}
