using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Replicas;

/// <summary>A replica's places for upgraded connections.</summary>
public sealed class ReplicaUpgradesTests
{
    [Fact]
    public void TryTake_AtTheLimit_TakesNone()
    {
        ReplicaUpgrades upgrades = new();

        Assert.True(upgrades.TryTake(2));
        Assert.True(upgrades.TryTake(2));
        Assert.False(upgrades.TryTake(2));
        Assert.False(upgrades.TryTake(1));
        Assert.False(upgrades.TryTake(0));
        Assert.Equal(2, upgrades.Count);

        upgrades.Return();
        Assert.False(upgrades.TryTake(1));
        Assert.True(upgrades.TryTake(2));
    }

    [Fact]
    public async Task WhenNone_SomeAreLeft_CompletesWithTheLast()
    {
        ReplicaUpgrades upgrades = new();
        Assert.True(upgrades.WhenNone().IsCompleted);
        ReplicaUpgrades busy = new();
        busy.TryTake(2);
        busy.TryTake(2);

        Task none = busy.WhenNone();
        busy.Return();
        Assert.False(none.IsCompleted);
        busy.Return();

        await none;
    }
}
