using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Handles;

public sealed class ReplicaPickerTests
{
    private readonly Dice _dice = new(7);

    [Fact]
    public void Take_NoReplica_IsNull() => Assert.Null(ReplicaPicker.Take([], _dice));

    [Fact]
    public void Take_OneReplica_UntilItIsFull()
    {
        Replica[] replicas = Replicas((2, 0));
        Assert.Same(replicas[0], ReplicaPicker.Take(replicas, _dice));
        Assert.Same(replicas[0], ReplicaPicker.Take(replicas, _dice));
        Assert.Null(ReplicaPicker.Take(replicas, _dice));
    }

    [Theory]
    [InlineData(1, 0, 1)]
    [InlineData(0, 1, 0)]
    [ContractRow(14)]
    public void Take_TwoReplicas_TheShorterTenTimesOfTen(int first, int second, int shorter)
    {
        for (int i = 0; i < 10; i++)
        {
            Replica[] replicas = Replicas((20, first), (20, second));
            Assert.Same(replicas[shorter], ReplicaPicker.Take(replicas, _dice));
        }
    }

    [Fact]
    public void Take_IdlePair_IsUsedEvenly()
    {
        const int Draws = 10_000;
        Replica[] replicas = Replicas((1, 0), (1, 0));
        int first = 0;
        for (int i = 0; i < Draws; i++)
        {
            Replica taken = ReplicaPicker.Take(replicas, _dice)!;
            first += taken == replicas[0] ? 1 : 0;
            Return(taken);
        }

        // Five standard deviations of a fair coin.
        Assert.InRange(first, (Draws / 2) - 250, (Draws / 2) + 250);
    }

    [Fact]
    public void Take_IdleTen_AreUsedEvenly()
    {
        const int Draws = 20_000;
        Replica[] replicas = Replicas([.. Enumerable.Repeat((1, 0), 10)]);
        Dictionary<Replica, int> taken = replicas.ToDictionary(r => r, _ => 0);
        for (int i = 0; i < Draws; i++)
        {
            Replica replica = ReplicaPicker.Take(replicas, _dice)!;
            taken[replica]++;
            Return(replica);
        }

        Assert.All(taken.Values, n => Assert.InRange(n, 1785, 2215));
    }

    /// <summary>The longest of three is chosen by nobody: whichever two are drawn, one of them is shorter.</summary>
    [Fact]
    public void Take_ManyReplicas_NeverTheBusiest()
    {
        for (int i = 0; i < 1000; i++)
        {
            Replica[] replicas = Replicas((20, 1), (20, 5), (20, 0));
            Assert.NotSame(replicas[1], ReplicaPicker.Take(replicas, _dice));
        }
    }

    [Fact]
    public void Take_TheShorterHasNoPermit_TheOther()
    {
        for (int i = 0; i < 10; i++)
        {
            Replica[] replicas = Replicas((0, 0), (20, 3));
            Assert.Same(replicas[1], ReplicaPicker.Take(replicas, _dice));
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(17)]
    public void Take_OnlyOneHasAPermit_IsFoundWhereverItIs(int count)
    {
        for (int free = 0; free < count; free++)
        {
            for (int i = 0; i < 50; i++)
            {
                Replica[] replicas = Replicas([.. Enumerable.Range(0, count).Select(r => r == free ? (2, 1) : (1, 1))]);
                Assert.Same(replicas[free], ReplicaPicker.Take(replicas, _dice));
                Assert.Null(ReplicaPicker.Take(replicas, _dice));
            }
        }
    }

    private static Replica[] Replicas(params (int Limit, int Ongoing)[] replicas) => [.. replicas.Select((r, i) =>
    {
        Replica replica = TestGate.NewReplica($"r{i}", new ManualTimeProvider());
        replica.Permits.Resize(r.Limit);
        for (int n = 0; n < r.Ongoing; n++)
        {
            Assert.True(replica.Permits.TryTake() && replica.Permits.TryStart());
        }

        return replica;
    })];

    private static void Return(Replica taken)
    {
        Assert.True(taken.Permits.TryStart());
        Assert.True(taken.Permits.Finish());
    }
}
