using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Replicas;

public sealed class ReplicaStatesTests
{
    /// <summary>Rows and columns in the order of the enum: Starting, Running, Updating, Draining, Stopped, Failed, Abandoned.</summary>
    private static readonly string[] Table =
    [
        ".x..xx.",
        "..xx...",
        ".x.x...",
        "....x.x",
        ".......",
        ".......",
        "....x..",
    ];

    public static TheoryData<int, int> Cells()
    {
        TheoryData<int, int> cells = [];
        foreach (ReplicaState from in Enum.GetValues<ReplicaState>())
        {
            foreach (ReplicaState to in Enum.GetValues<ReplicaState>())
            {
                cells.Add((int)from, (int)to);
            }
        }

        return cells;
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public void CanMove_EveryCell_IsTheTable(int from, int to) =>
        Assert.Equal(Table[from][to] == 'x', ReplicaStates.CanMove((ReplicaState)from, (ReplicaState)to));

    [Fact]
    public void TakesRequests_OnlyWhileItRunsOrIsUpdated() =>
        Assert.Equal(
            [ReplicaState.Running, ReplicaState.Updating],
            Enum.GetValues<ReplicaState>().Where(s => s.TakesRequests()));

    [Fact]
    public void MoveTo_NotInTheTable_ThrowsAndStays()
    {
        Replica replica = TestGate.NewReplica("abc", new ManualTimeProvider());
        replica.MoveTo(ReplicaState.Running);

        InvalidOperationException refused = Assert.Throws<InvalidOperationException>(() => replica.MoveTo(ReplicaState.Stopped));

        Assert.Equal("Replica abc of deployment 'D' cannot go from Running to Stopped.", refused.Message);
        Assert.Equal(ReplicaState.Running, replica.State);
    }
}
