using Serve.Embedded.Controller;
using Serve.Embedded.Handles;
using Serve.Embedded.Proxy;
using static Serve.Embedded.Tests.Controller.ControllerHarness;

namespace Serve.Embedded.Tests.Controller;

/// <summary>Found by the simulation: an application's old prefix is in force while its replicas restart, and another application may be given it meanwhile.</summary>
public sealed class RoutePrefixesTests
{
    [Fact]
    public void Apply_APrefixIsGivenToAnotherWhileItsOwnerRestarts_EachIsServedOnceAndWhereItIsWanted()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(At("a", "test:v1", "/x"), At("b", "test:v1", "/y"));
        harness.Run();

        _ = harness.Apply(At("a", "test:v2", "/z"), At("b", "test:v1", "/x"));

        Assert.Equal(ReplicaStateOf(harness, "a"), (1, 0));
        Assert.Equal([("a", "/z"), ("b", "/x")], Served(harness));
        harness.Run();
        Assert.Equal([("a", "/z"), ("b", "/x")], Served(harness));
    }

    [Fact]
    public void Apply_TheOwnerGoesBackAndItsOldPrefixIsAnothers_TheOtherKeepsIt()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(At("a", "test:v1", "/x"), At("b", "test:v1", "/y"));
        harness.Run();
        harness.Fails = act => act.Kind == ActKind.Start && act.ImportPath == "test:v2" ? "bad" : null;

        _ = harness.Apply(At("a", "test:v2", "/z"), At("b", "test:v1", "/x"));
        harness.Run();

        Assert.Equal(ApplicationStatus.DeployFailed, harness.Application("a").Status);
        Assert.Equal([("a", "/z"), ("b", "/x")], Served(harness));
    }

    [Fact]
    public void Apply_AtomicAndTheOneThatGoesHasThePrefix_ItKeepsItUntilItGoes()
    {
        ControllerHarness harness = new();
        _ = harness.Apply(At("a", "test:v1", "/x"));
        harness.Run();

        _ = harness.Apply(new ApplyRequest([At("b", "test:v1", "/x")], Atomic: true));
        Assert.Equal([("b", null), ("a", "/x")], Served(harness));
        harness.Run();

        Assert.Equal([("b", "/x")], Served(harness));
    }

    private static ApplicationGoal At(string name, string importPath, string prefix) => App(name, importPath) with { RoutePrefix = prefix };

    private static (int Old, int New) ReplicaStateOf(ControllerHarness harness, string application) =>
        (harness.Running("Front", "test:v1", application), harness.Running("Front", "test:v2", application));

    private static IEnumerable<(string, string?)> Served(ControllerHarness harness)
    {
        ServingSnapshot snapshot = harness.Serving.Current;
        _ = new RouteTable(snapshot);
        return snapshot.Applications.Select(a => (a.Name, a.RoutePrefix));
    }
}
