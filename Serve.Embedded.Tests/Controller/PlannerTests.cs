using Serve.Embedded.Controller;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Guards;
using static Serve.Embedded.Controller.ReplicaAction;

namespace Serve.Embedded.Tests.Controller;

public sealed class PlannerTests
{
    private const long Now = 1000;

    private static readonly DeploymentTarget Two = new() { NumReplicas = 2, Floor = 2, MaxOngoingRequests = 5, UserConfig = "{}" };

    private static readonly DeploymentTarget Ten = Two with { NumReplicas = 10, Floor = 10 };

    [Fact]
    public void Plan_NothingRuns_StartsAllAtOnce() => Assert.Equal(Starts(10), Plan(Ten));

    [Fact]
    public void Plan_AtGoal_IsEmpty() => Assert.Empty(Plan(Two, Running("a"), Running("b")));

    [Fact]
    public void Plan_StartsMustWait_LooksAgainThen()
    {
        DeploymentPlan plan = Planner.Plan(Two with { StartNotBefore = Now + 7 }, new([]), Now);

        Assert.Empty(plan.Actions);
        Assert.Equal(Now + 7, plan.StartAt);
        Assert.Equal(Starts(2), Planner.Plan(Two with { StartNotBefore = Now + 7 }, new([]), Now + 7).Actions);
    }

    [Fact]
    public void Plan_OneStarts_StartsOnlyTheOther() => Assert.Equal(Starts(1), Plan(Two, Starting("a")));

    [Fact]
    public void Plan_OneIsUp_IsAdmitted() => Assert.Equal([new Admit("b")], Plan(Two, Running("a"), Ready("b")));

    [Fact]
    public void Plan_OneDrains_IsReplaced() => Assert.Equal(Starts(1), Plan(Two, Running("a"), Running("b") with { State = ReplicaState.Draining }));

    [Fact]
    public void Plan_HandlersHang_TheirReplicasAreReplacedOnceAndNotForEver()
    {
        Assert.Equal(Starts(1), Planner.Plan(Two, new([Running("a")], Abandoned: 2), Now).Actions);
        Assert.Empty(Planner.Plan(Two, new([Running("a")], Abandoned: 3), Now).Actions);
    }

    [Fact]
    public void Plan_TooMany_StopsTheNewest() =>
        Assert.Equal([new Stop("d", ScalesDown: true), new Stop("c", ScalesDown: true)], Plan(Two, Running("a"), Running("b"), Running("c"), Running("d")));

    [Fact]
    public void Plan_TooManyAndOneStarts_TheStartingOneGoesFirst() =>
        Assert.Equal([new Stop("c", ScalesDown: true)], Plan(Two, Running("a"), Running("b"), Running("c"), Starting("d")));

    [Fact]
    public void Plan_ScaledToZero_StopsAll() => Assert.Equal([new Stop("a", ScalesDown: true)], Plan(Two with { NumReplicas = 0, Floor = 0 }, Running("a")));

    [Fact]
    public void Plan_AnotherLimit_ResizesWhoServesTheWantedCode() =>
        Assert.Equal(
            [new Resize("a"), new Resize("b")],
            Plan(Two with { MaxOngoingRequests = 6, NumReplicas = 3, Floor = 3, StartNotBefore = long.MaxValue }, Running("a"), Running("b") with { State = ReplicaState.Updating }, Old("c")));

    [Fact]
    public void Plan_AnotherUserConfig_IsTriedOnOneFirstThenInWaves()
    {
        DeploymentTarget goal = Ten with { UserConfig = """{"a":1}""", NumReplicas = 4, Floor = 4, RollingUpdatePercentage = 0.5 };
        ObservedReplica took = Running("a") with { UserConfig = goal.UserConfig };
        ObservedReplica[] rest = [Running("b"), Running("c"), Running("d")];

        Assert.Equal([new Reconfigure("a")], Plan(goal, [Running("a"), .. rest]));
        Assert.Empty(Plan(goal, [Running("a") with { State = ReplicaState.Updating }, .. rest]));
        Assert.Equal([new Reconfigure("b"), new Reconfigure("c")], Plan(goal, [took, .. rest]));
        Assert.Equal([new Reconfigure("d")], Plan(goal, took, Running("b") with { State = ReplicaState.Updating }, took with { Id = "c" }, Running("d")));
        Assert.Empty(Plan(goal, took, took with { Id = "b" }, took with { Id = "c" }, took with { Id = "d" }));
    }

    [Fact]
    public void Plan_UserConfigIsTakenAway_NobodyIsTold() => Assert.Empty(Plan(Two with { UserConfig = null }, Running("a"), Running("b")));

    [Fact]
    public void Plan_CheckIsDue_IsAskedFor() =>
        Assert.Equal([new CheckHealth("a")], Plan(Two, Running("a") with { CheckAt = Now }, Running("b") with { CheckAt = Now + 5 }));

    [Fact]
    public void StartFirst_TenReplicas_NeverFewerThanTenServe()
    {
        // 10 old and 2 starting; then 8 old, 2 new, 2 starting.
        Assert.Equal(Starts(2), Plan(Ten, OldRunning(10)));
        Assert.Empty(Plan(Ten, [.. OldRunning(10), Starting("n0"), Starting("n1")]));
        Assert.Equal(
            [new Admit("n0"), new Admit("n1"), new Stop("o9"), new Stop("o8"), .. Starts(2)],
            Plan(Ten, [.. OldRunning(10), Ready("n0"), Ready("n1")]));
    }

    [Fact]
    public void StartFirst_OneReplica_TheOldServesUntilTheNewDoes()
    {
        DeploymentTarget one = Two with { NumReplicas = 1, Floor = 1 };

        Assert.Equal(Starts(1), Plan(one, Old("a")));
        Assert.Empty(Plan(one, Old("a"), Starting("b")));
        Assert.Equal([new Admit("b"), new Stop("a")], Plan(one, Old("a"), Ready("b")));
    }

    [Fact]
    public void StartFirst_NotAllChangedDeploymentsAreUp_NewReplicasWait() =>
        Assert.Empty(Plan(Ten with { MayAdmit = false }, [.. OldRunning(10), Ready("n0"), Ready("n1")]));

    [Fact]
    public void StartFirst_NewVersionAndFewer_TheOldOnesGoWhenTheNewServe()
    {
        // Two of the new code are wanted, ten of the old serve: if the new one fails, nothing was taken away.
        DeploymentTarget fewer = Ten with { NumReplicas = 2 };

        Assert.Equal(Starts(1), Plan(fewer, OldRunning(10)));
        Assert.Equal([new Admit("n0"), new Stop("o9"), .. Starts(1)], Plan(fewer, [.. OldRunning(10), Ready("n0")]));
        Assert.Equal(9, Plan(fewer, [.. OldRunning(9), Running("n0"), Ready("n1")]).OfType<Stop>().Count());
    }

    [Fact]
    public void StartFirst_NewVersionAndMore_AllNewOnesStartAndTheOldGoWhenTheyServe()
    {
        Assert.Equal(Starts(10), Plan(Ten, OldRunning(2)));
        ObservedReplica[] ready = [.. Enumerable.Range(0, 10).Select(i => Ready($"n{i}"))];
        Assert.Equal(2, Plan(Ten, [.. OldRunning(2), .. ready]).OfType<Stop>().Count());
    }

    [Fact]
    public void StartFirst_NoRoomOnTheBox_OnlyOneMoreAtATime() => Assert.Equal(Starts(1), Plan(Ten with { MostSurge = 1 }, OldRunning(10)));

    [Fact]
    public void StartFirst_OldReplicaStillStarts_ItIsNotWaitedFor()
    {
        DeploymentTarget one = Two with { NumReplicas = 1, Floor = 1 };

        Assert.Equal(Starts(1), Plan(one, Starting("a") with { IsCurrent = false }));
        Assert.Equal([new Stop("a"), .. Starts(1)], Plan(one, Ready("a") with { IsCurrent = false }));
    }

    [Fact]
    [ContractRow(27)]
    public void Replace_TenReplicas_AWaveGoesWhileAsManyCome()
    {
        DeploymentTarget ten = Ten with { Replaces = true };

        Assert.Equal([new Stop("o9"), new Stop("o8"), .. Starts(2)], Plan(ten, OldRunning(10)));
        ObservedReplica[] draining = [Draining("o9"), Draining("o8")];
        Assert.Empty(Plan(ten, [.. OldRunning(8), .. draining, Starting("n0"), Starting("n1")]));
        Assert.Equal([new Admit("n0"), new Stop("o7"), .. Starts(1)], Plan(ten, [.. OldRunning(8), .. draining, Ready("n0"), Starting("n1")]));
    }

    [Theory]
    [InlineData(10, 0.5, 5)]
    [InlineData(10, 0.2, 2)]
    [InlineData(3, 0.5, 1)]
    [InlineData(4, 0.2, 1)]
    [InlineData(10, 0.21, 2)]
    [InlineData(5, 1.0, 5)]
    [ContractRow(28)]
    public void Replace_Percentage_SetsTheFirstWave(int replicas, double percentage, int wave)
    {
        DeploymentTarget target = Ten with { NumReplicas = replicas, Floor = replicas, RollingUpdatePercentage = percentage, Replaces = true };

        Assert.Equal(wave, Plan(target, OldRunning(replicas)).OfType<Stop>().Count());
        Assert.Equal(wave, Plan(target with { Replaces = false }, OldRunning(replicas)).OfType<Start>().Count());
    }

    [Fact]
    [ContractRow(29)]
    public void Replace_NewVersionAndFewer_ScalesDownFirstThenReplacesOneByOne()
    {
        DeploymentTarget two = Two with { Replaces = true, Floor = 10 };

        IReadOnlyList<ReplicaAction> first = Plan(two, OldRunning(10));
        Assert.Equal(8, first.Count);
        Assert.All(first, a => Assert.True(Assert.IsType<Stop>(a).ScalesDown));
        Assert.Empty(Planner.Plan(two, new([.. OldRunning(2), Draining("o9")], ScalesDown: true), Now).Actions);
        Assert.Equal([new Stop("o1"), .. Starts(1)], Plan(two, OldRunning(2)));
    }

    [Fact]
    [ContractRow(29)]
    public void Replace_NewVersionAndMore_ScalesUpFirst()
    {
        DeploymentTarget ten = Ten with { Replaces = true };

        Assert.Equal(Starts(8), Plan(ten, OldRunning(2)));
        ObservedReplica[] up = [.. Enumerable.Range(0, 8).Select(i => Running($"n{i}"))];
        Assert.Equal([new Stop("o1"), new Stop("o0"), .. Starts(2)], Plan(ten, [.. OldRunning(2), .. up]));
    }

    private static ObservedReplica Running(string id) => new(id, ReplicaState.Running, Limit: 5, UserConfig: "{}");

    private static ObservedReplica Starting(string id) => new(id, ReplicaState.Starting);

    private static ObservedReplica Ready(string id) => new(id, ReplicaState.Starting, IsReady: true, UserConfig: "{}");

    private static ObservedReplica Old(string id) => Running(id) with { IsCurrent = false };

    private static ObservedReplica Draining(string id) => Old(id) with { State = ReplicaState.Draining };

    private static ObservedReplica[] OldRunning(int count) => [.. Enumerable.Range(0, count).Select(i => Old($"o{i}"))];

    private static IEnumerable<ReplicaAction> Starts(int count) => Enumerable.Range(0, count).Select(_ => new Start());

    private static IReadOnlyList<ReplicaAction> Plan(DeploymentTarget target, params ObservedReplica[] replicas) => Planner.Plan(target, new(replicas), Now).Actions;
}
