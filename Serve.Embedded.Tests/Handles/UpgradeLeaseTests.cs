using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Handles;

/// <summary>Requests whose connection is upgraded, where those are bounded by themselves.</summary>
public sealed class UpgradeLeaseTests
{
    private readonly TestGate _test = new();

    [Fact]
    public void Upgraded_PermitComesBackOnceAndThePlaceWithTheEnd()
    {
        Replica replica = _test.AddReplica(1);
        Handle handle = _test.Gate.AddHandle(1);
        UpgradeLease upgrade = UpgradeLease.TryTake(_test.Run(handle), 1)!;
        Waiter waiter = _test.Wait(handle);

        upgrade.Upgraded();
        upgrade.Upgraded();

        Assert.Equal([waiter], _test.RunResumed());
        Assert.Equal((1, 1), (replica.Permits.Ongoing, replica.Upgrades.Count));
        waiter.Lease.End(RequestEnd.Completed);
        upgrade.End(RequestEnd.Completed);
        Assert.Equal((0, 0, 1), (replica.Permits.Ongoing, replica.Upgrades.Count, _test.Gate.Free));
        Assert.Equal(2, handle.Counts.Completed);
    }

    [Fact]
    public void End_NeverUpgraded_GivesPermitAndPlaceBack()
    {
        Replica replica = _test.AddReplica(1);
        Handle handle = _test.Gate.AddHandle(0);
        UpgradeLease upgrade = UpgradeLease.TryTake(_test.Run(handle), 1)!;

        upgrade.End(RequestEnd.Failed);
        upgrade.Upgraded();

        Assert.Equal((0, 0, 1), (replica.Permits.Ongoing, replica.Upgrades.Count, _test.Gate.Free));
        Assert.Equal(1, handle.Counts.Failed);
    }

    [Fact]
    public void GivePlaceBack_ThePermitStays()
    {
        Replica replica = _test.AddReplica(1);
        UpgradeLease upgrade = UpgradeLease.TryTake(_test.Run(_test.Gate.AddHandle(0)), 1)!;

        upgrade.GivePlaceBack();

        Assert.Equal((1, 0), (replica.Permits.Ongoing, replica.Upgrades.Count));
    }

    [Fact]
    public void TryTake_ReplicaIsFullAndAnotherIsNot_MovesThere()
    {
        Replica[] replicas = [_test.AddReplica(1), _test.AddReplica(1)];
        Handle handle = _test.Gate.AddHandle(0);
        RequestLease lease = _test.Run(handle);
        Replica other = replicas.Single(r => r != lease.Replica);
        Assert.True(lease.Replica.Upgrades.TryTake(1));

        UpgradeLease upgrade = UpgradeLease.TryTake(lease, 1)!;

        Assert.Same(other, upgrade.Lease.Replica);
        Assert.Equal((0, 1, 1), (lease.Replica.Permits.Ongoing, other.Permits.Ongoing, _test.Gate.Free));
        upgrade.End(RequestEnd.Completed);
        Assert.Equal(2, _test.Gate.Free);
    }

    [Fact]
    public void TryTake_TheOtherHasNoPermit_TakesNothing()
    {
        _test.AddReplica(1);
        _test.AddReplica(1);
        Handle handle = _test.Gate.AddHandle(0);
        RequestLease lease = _test.Run(handle);
        RequestLease busy = _test.Run(handle);
        Assert.True(lease.Replica.Upgrades.TryTake(1));

        Assert.Null(UpgradeLease.TryTake(lease, 1));

        Assert.Equal((1, 0), (busy.Replica.Permits.Ongoing, busy.Replica.Upgrades.Count));
        lease.End(RequestEnd.Refused);
        busy.End(RequestEnd.Completed);
        Assert.Equal((2, 1, 1), (_test.Gate.Free, handle.Counts.Shed, handle.Counts.Completed));
    }

    [Fact]
    public void AllAreTaken_NoReplicaOrAFreePlace_IsFalse()
    {
        Assert.False(UpgradeLease.AllAreTaken(_test.Gate, 1));
        Replica first = _test.AddReplica(1);
        Replica second = _test.AddReplica(1);
        Assert.True(UpgradeLease.AllAreTaken(_test.Gate, 0));

        first.Upgrades.TryTake(1);
        Assert.False(UpgradeLease.AllAreTaken(_test.Gate, 1));
        second.Upgrades.TryTake(1);
        Assert.True(UpgradeLease.AllAreTaken(_test.Gate, 1));
    }

    [Fact]
    public async Task WhenIdle_AnUpgradedConnectionIsLeft_WaitsForIt()
    {
        Replica replica = _test.AddReplica(1);
        UpgradeLease upgrade = UpgradeLease.TryTake(_test.Run(_test.Gate.AddHandle(0)), 1)!;
        _test.Gate.RemoveReplica(replica);

        Task idle = replica.WhenIdle();
        upgrade.Upgraded();
        Assert.False(idle.IsCompleted);
        Assert.Equal(0, replica.Permits.Ongoing);
        upgrade.End(RequestEnd.Completed);

        await idle.WaitAsync(TestContext.Current.CancellationToken);
    }
}
