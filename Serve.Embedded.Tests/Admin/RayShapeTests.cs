using Serve.Embedded.Admin;
using Serve.Embedded.Config;
using Serve.Embedded.Replicas;
using Xunit;

namespace Serve.Embedded.Tests.Admin;

/// <summary>What the models of Ray's own client take, as they were seen to.</summary>
public sealed class RayShapeTests
{
    [Theory]
    [InlineData("builtin:slow", true)]
    [InlineData("python:slow.SlowDeployment", true)]
    [InlineData("fruit.deployment_graph", true)]
    [InlineData("a.b.c", true)]
    [InlineData("nothing", false)]
    [InlineData(":a", false)]
    [InlineData("a:", false)]
    [InlineData("a:b:c", false)]
    [InlineData(".a", false)]
    [InlineData("a.", false)]
    [InlineData(null, false)]
    public void Holds_ImportPath_NeedsTwoParts(string? path, bool expected) => Assert.Equal(expected, RayShape.Holds(new() { ImportPath = path }));

    [Theory]
    [InlineData(null, true)]
    [InlineData("https://example.com/code.zip", true)]
    [InlineData("model", false)]
    [InlineData("/opt/model", false)]
    public void Holds_WorkingDir_IsNoFolderOfThisMachine(string? folder, bool expected) =>
        Assert.Equal(expected, RayShape.Holds(new() { ImportPath = "a.b", RuntimeEnv = new() { WorkingDir = folder } }));

    [Theory]
    [InlineData(null, true)]
    [InlineData(-1, true)]
    [InlineData(0, false)]
    [InlineData(1, true)]
    public void Holds_Queue_IsNotNone(int? maxQueued, bool expected) =>
        Assert.Equal(expected, RayShape.Holds(new() { ImportPath = "a.b", Deployments = [new() { Name = "d", MaxQueuedRequests = maxQueued }] }));

    [Fact]
    public void StateOf_EachState_IsOneOfRays()
    {
        string[] rays = ["STARTING", "UPDATING", "RECOVERING", "RUNNING", "STOPPING", "PENDING_MIGRATION"];

        Assert.All(Enum.GetValues<ReplicaState>(), state => Assert.Contains(RayShape.StateOf(state), rays));
    }

    [Fact]
    public void TriggerOf_EachTrigger_IsOneOfRays()
    {
        string[] rays =
        [
            "UNSPECIFIED", "CONFIG_UPDATE_STARTED", "CONFIG_UPDATE_COMPLETED", "UPSCALE_COMPLETED", "DOWNSCALE_COMPLETED", "AUTOSCALING", "REPLICA_STARTUP_FAILED", "HEALTH_CHECK_FAILED",
            "INTERNAL_ERROR", "DELETING",
        ];

        Assert.All(Enum.GetValues<Serve.Embedded.Controller.StatusTrigger>(), trigger => Assert.Contains(RayShape.TriggerOf(trigger), rays));
    }
}
