using Serve.Embedded.Config;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Controller.Scaling;

public sealed class BoxBudgetTests
{
    private static readonly MachineResources Machine = new(4, 8000);

    private static readonly BoxBudget Box = BoxBudget.Of(new() { Cpus = 4, MemoryMb = 1000, MaxReplicas = 10 }, Machine);

    [Fact]
    public void Of_NothingWritten_IsTheMachine() =>
        Assert.Equal(new BoxBudget(new(long.MaxValue, 4000, 8000), 8000), BoxBudget.Of(new(), Machine));

    [Fact]
    public void Of_Written_TakesItsPlace() =>
        Assert.Equal(new BoxBudget(new(7, 1500, 16_000), 8000), BoxBudget.Of(new() { MaxReplicas = 7, Cpus = 1.5, MemoryMb = 16_000 }, Machine));

    [Fact]
    public void Of_MemoryNotKnown_IsNoLimit() =>
        Assert.Equal(new BoxBudget(new(long.MaxValue, 4000, long.MaxValue), long.MaxValue), BoxBudget.Of(new(), new(4, null)));

    [Theory]
    [InlineData(null, null, false, 0, 0)]
    [InlineData(null, null, true, 1000, 0)]
    [InlineData(0.25, 300, false, 250, 300)]
    [InlineData(0.25, null, true, 250, 0)]
    [InlineData(0.0, null, true, 0, 0)]
    [InlineData(0.1, null, false, 100, 0)]
    public void OfReplica_Declared_IsWhatItSays(double? cpus, int? memory, bool isWorker, long milliCpus, long memoryMb) =>
        Assert.Equal(new BoxUse(1, milliCpus, memoryMb), BoxUse.OfReplica(cpus, memory, isWorker));

    [Theory]
    [InlineData(1000, 0, 4)]
    [InlineData(3000, 0, 1)]
    [InlineData(5000, 0, 0)]
    [InlineData(0, 300, 3)]
    [InlineData(1000, 400, 2)]
    [InlineData(0, 0, 10)]
    public void Holds_Replicas_IsAsManyAsFit(long milliCpus, long memoryMb, int expected) => Assert.Equal(expected, Box.Holds(new(1, milliCpus, memoryMb)));

    [Fact]
    public void Holds_BesideOthers_IsWhatIsLeft()
    {
        Assert.Equal(2, Box.Holds(new(1, 1000, 0), taken: new(3, 1500, 0)));
        Assert.Equal(0, Box.Holds(new(1, 1000, 0), taken: new(3, 9000, 0)));
    }

    [Fact]
    public void Holds_ReplicasThatTakeNothing_AreAnyNumber() => Assert.Equal(int.MaxValue, BoxBudget.Of(new(), Machine).Holds(new(1, 0, 0)));

    [Fact]
    public void RolloutRoom_SomeFit_IsThose() => Assert.Equal(new RolloutRoom(3, null), RolloutRoom.Of(Box, new(1, 1000, 0), new(1, 1000, 0)));

    [Fact]
    public void RolloutRoom_NoneFits_MayExceedByOne() => Assert.Equal(new RolloutRoom(1, null), RolloutRoom.Of(Box, new(4, 4000, 0), new(1, 1000, 0)));

    [Fact]
    public void RolloutRoom_ExceededAlready_StopsOldOnesFirst()
    {
        RolloutRoom room = RolloutRoom.Of(Box, new(5, 5000, 0), new(1, 1000, 0));

        Assert.Equal(0, room.MostSurge);
        Assert.Equal("Old replicas stop before new ones start, as with rolling_update = \"replace\": the box is exceeded already, with 5 CPU(s) of 4 CPU(s) taken.", room.Why);
    }

    /// <summary>Too little processor time makes everybody slower; memory that is not there ends the process.</summary>
    [Fact]
    public void RolloutRoom_MemoryIsNotThere_StopsOldOnesFirst()
    {
        BoxBudget box = BoxBudget.Of(new(), new(4, 1000));

        RolloutRoom room = RolloutRoom.Of(box, new(2, 0, 800), new(1, 0, 400));

        Assert.Equal(0, room.MostSurge);
        Assert.EndsWith("800 MiB of memory are taken and one more replica needs 400, but the machine has only 1000.", room.Why, StringComparison.Ordinal);
        Assert.Equal(1, RolloutRoom.Of(BoxBudget.Of(new() { MemoryMb = 800 }, new(4, 1200)), new(2, 0, 800), new(1, 0, 400)).MostSurge);
    }

    [Fact]
    public void RolloutRoom_ReplicasThatTakeNothing_IsAnyNumber() =>
        Assert.Equal(new RolloutRoom(int.MaxValue, null), RolloutRoom.Of(BoxBudget.Of(new(), Machine), new(3, 4000, 0), new(1, 0, 0)));
}
