using Serve.Embedded.Controller;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Controller;

public sealed class PlannerTests
{
    private static readonly DeploymentGoal Goal = new()
    {
        Name = "D",
        NumReplicas = 2,
        MaxOngoingRequests = 5,
        MaxQueuedRequests = 100,
        MaxQueueWait = null,
        GracefulShutdownTimeout = TimeSpan.FromSeconds(20),
        BackpressureStatusCode = 503,
        RetryAfterS = null,
        UserConfig = "{}",
    };

    [Fact]
    public void Plan_NothingRuns_StartsAll() => Assert.Equal([new ReplicaAction.Start(), new ReplicaAction.Start()], Plan(Goal));

    [Fact]
    public void Plan_AtGoal_IsEmpty() => Assert.Empty(Plan(Goal, Running("a"), Running("b")));

    [Fact]
    public void Plan_StartsHaveFailedTooOften_StartsNoMore() =>
        Assert.Empty(Planner.Plan(Goal, new([], GivenUp: true)));

    [Fact]
    public void Plan_OneStarts_StartsOnlyTheOther() =>
        Assert.Equal([new ReplicaAction.Start()], Plan(Goal, Running("a") with { State = ReplicaState.Starting }));

    [Fact]
    public void Plan_OneDrains_IsReplaced() =>
        Assert.Equal([new ReplicaAction.Start()], Plan(Goal, Running("a"), Running("b") with { State = ReplicaState.Draining }));

    [Fact]
    public void Plan_TooMany_StopsTheNewest() =>
        Assert.Equal([new ReplicaAction.Stop("d"), new ReplicaAction.Stop("c")], Plan(Goal, Running("a"), Running("b"), Running("c"), Running("d")));

    [Fact]
    public void Plan_TooManyAndOneStarts_TheStartingOneGoesFirst() =>
        Assert.Equal(
            [new ReplicaAction.Stop("c")],
            Plan(Goal, Running("a"), Running("b"), Running("c"), Running("d") with { State = ReplicaState.Starting }));

    [Fact]
    public void Plan_AnotherLimit_ResizesWhoServes() =>
        Assert.Equal(
            [new ReplicaAction.Resize("a"), new ReplicaAction.Resize("b")],
            Plan(Goal with { MaxOngoingRequests = 6 }, Running("a"), Running("b") with { State = ReplicaState.Updating }));

    [Fact]
    public void Plan_AnotherUserConfig_IsTriedOnOneFirst()
    {
        DeploymentGoal goal = Goal with { UserConfig = """{"a":1}""" };
        ObservedReplica took = Running("a") with { UserConfig = goal.UserConfig };

        Assert.Equal([new ReplicaAction.Reconfigure("a")], Plan(goal, Running("a"), Running("b")));
        Assert.Empty(Plan(goal, Running("a") with { State = ReplicaState.Updating }, Running("b")));
        Assert.Equal([new ReplicaAction.Reconfigure("b")], Plan(goal, took, Running("b")));
        Assert.Empty(Plan(goal, took, took with { Id = "b" }));
    }

    [Fact]
    public void Plan_UserConfigIsTakenAway_NobodyIsTold() => Assert.Empty(Plan(Goal with { UserConfig = null }, Running("a"), Running("b")));

    private static ObservedReplica Running(string id) => new(id, ReplicaState.Running, 5, "{}");

    private static IReadOnlyList<ReplicaAction> Plan(DeploymentGoal goal, params ObservedReplica[] replicas) =>
        Planner.Plan(goal, new(replicas, GivenUp: false));
}
