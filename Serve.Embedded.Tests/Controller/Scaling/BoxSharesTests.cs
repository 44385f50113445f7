using Serve.Embedded.Controller.Scaling;

namespace Serve.Embedded.Tests.Controller.Scaling;

public sealed class BoxSharesTests
{
    private static readonly BoxUse OneCpu = new(1, 1000, 0);

    [Fact]
    public void Share_NoClaims_IsNothing() => Assert.Empty(BoxShares.Share(Cpus(4), []));

    [Fact]
    public void Share_AllFits_EverybodyGetsWhatIsWanted() =>
        Assert.Equal([new BoxShare(3, null), new BoxShare(1, null)], BoxShares.Share(Cpus(4), [Claim("a", want: 3), Claim("b", want: 1)]));

    [Fact]
    public void Share_EqualWeights_SplitEvenly() => Assert.Equal([4, 4], Shares(Cpus(8), Claim("a", want: 20), Claim("b", want: 20)));

    [Fact]
    public void Share_Weights_SplitByThem() => Assert.Equal([6, 2], Shares(Cpus(8), Claim("a", want: 20, weight: 3), Claim("b", want: 20)));

    [Fact]
    public void Share_OneWantsLittle_TheOthersGetTheRest() => Assert.Equal([1, 7], Shares(Cpus(8), Claim("a", want: 1, weight: 100), Claim("b", want: 20)));

    [Fact]
    public void Share_Minimum_IsKeptWhateverTheWeight() => Assert.Equal([5, 3], Shares(Cpus(8), Claim("a", want: 20, min: 5), Claim("b", want: 20, weight: 1000)));

    /// <summary>A fixed number of replicas is a minimum too.</summary>
    [Fact]
    public void Share_FixedNumber_IsKept() => Assert.Equal([6, 2], Shares(Cpus(8), Claim("fixed", want: 6, min: 6), Claim("scaled", want: 20)));

    /// <summary>Minimum 0 and one request that waits: the place goes to who has least.</summary>
    [Fact]
    public void Share_WakingUpBesideAFullBox_GetsAPlace() => Assert.Equal([7, 1], Shares(Cpus(8), Claim("busy", want: 20, weight: 3), Claim("waking", want: 1, min: 0)));

    [Fact]
    public void Share_LargeReplicas_AreComparedByWhatTheyTake() =>
        Assert.Equal([2, 4], Shares(Cpus(8), Claim("large", want: 20) with { Replica = new(1, 2000, 0) }, Claim("small", want: 20)));

    [Fact]
    public void Share_OneThatDoesNotFitAnyMore_LeavesTheRestToTheOthers() =>
        Assert.Equal([1, 4], Shares(Cpus(7), Claim("large", want: 9, weight: 9) with { Replica = new(1, 3000, 0), Weight = 1 }, Claim("small", want: 9)));

    [Fact]
    public void Share_ReplicasThatTakeNothing_AreNeverHeldBack() =>
        Assert.Equal([500, 8], Shares(Cpus(8), Claim("free", want: 500) with { Replica = new(1, 0, 0) }, Claim("b", want: 20)));

    [Fact]
    public void Share_NumberOfReplicasIsLimited_HoldsForThoseThatTakeNothingToo() =>
        Assert.Equal([3, 2], Shares(new BoxBudget(new(5, 4000, 1000), 1000), Claim("a", want: 500) with { Replica = new(1, 0, 0) }, Claim("b", want: 20) with { Replica = new(1, 0, 0) }));

    [Fact]
    public void Share_HeldBack_SaysWhoAndWhy()
    {
        IReadOnlyList<BoxShare> shares = BoxShares.Share(Cpus(4), [Claim("a", want: 10, weight: 3), Claim("b", want: 1)]);

        Assert.Equal(3, shares[0].Replicas);
        Assert.Equal(
            "Held back by the box: it wants 10 replicas and gets 3 by its weight, 3 of 4. All deployments together want 11 CPU(s), and the box has 4 CPU(s) (cpus in [box]).",
            shares[0].HeldBack);
        Assert.Null(shares[1].HeldBack);
    }

    [Fact]
    public void Share_MinimumsAreTooMuch_SplitByWeightAndSaySo()
    {
        IReadOnlyList<BoxShare> shares = BoxShares.Share(Cpus(4), [Claim("a", want: 6, min: 6), Claim("b", want: 6, min: 6), Claim("c", want: 1, min: 0)]);

        Assert.Equal([2, 2, 0], shares.Select(s => s.Replicas));
        Assert.Equal(
            "Held back by the box below its minimum: it shall have 6 replicas and gets 2. The minimums of all deployments together need 12 CPU(s), and the box has 4 CPU(s). "
            + "Raise cpus in [box], or lower min_replicas, num_replicas or what each replica asks for (num_cpus, memory_mb; a worker counts for 1 CPU where nothing is set).",
            shares[0].HeldBack);
        Assert.StartsWith("Held back by the box: it wants 1 replicas and gets 0", shares[2].HeldBack, StringComparison.Ordinal);
    }

    /// <summary>What the others take of the rest of the box is not why.</summary>
    [Fact]
    public void Share_MemoryKeepsOneBelowItsMinimumAndReplicasRunOut_SaysMemory()
    {
        BoxBudget budget = new(new(8, long.MaxValue, 1000), 1000);

        IReadOnlyList<BoxShare> shares = BoxShares.Share(
            budget, [Claim("a", want: 20) with { Replica = new(1, 0, 0) }, Claim("w", want: 2, min: 2) with { Replica = new(1, 0, 600) }]);

        Assert.Equal([7, 1], shares.Select(s => s.Replicas));
        Assert.Contains("need 1200 MiB of memory, and the box has 1000 MiB of memory. Raise memory_mb in [box]", shares[1].HeldBack, StringComparison.Ordinal);
    }

    /// <summary>By weight alone the second would have none, and all that it is asked would be refused.</summary>
    [Fact]
    public void Share_MinimumsAreTooMuch_NobodyIsLeftOutWhileAnotherHasTwo() =>
        Assert.Equal([2, 1, 0], Shares(Cpus(3), Claim("a", want: 4, min: 4, weight: 5), Claim("b", want: 4, min: 4), Claim("c", want: 1, min: 0)));

    /// <summary>A replica larger than the box runs nowhere, and holds nobody else back.</summary>
    [Fact]
    public void Share_ReplicaLargerThanTheBox_IsTheOnlyOneHeldBack()
    {
        IReadOnlyList<BoxShare> shares = BoxShares.Share(Cpus(4), [Claim("huge", want: 1) with { Replica = new(1, 8000, 0) }, Claim("b", want: 3)]);

        Assert.Equal([0, 3], shares.Select(s => s.Replicas));
        Assert.Contains("below its minimum", shares[0].HeldBack, StringComparison.Ordinal);
        Assert.Null(shares[1].HeldBack);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Share_RandomClaims_NeverExceedTheBox(int seed) => ForRandom(seed, (budget, claims, shares, _) =>
        Assert.Null(budget.Lacks(Taken(claims, shares))));

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Share_RandomClaims_LeaveNothingThatAnybodyCouldUse(int seed) => ForRandom(seed, (budget, claims, shares, _) =>
    {
        BoxUse taken = Taken(claims, shares);
        for (int i = 0; i < claims.Count; i++)
        {
            Assert.True(shares[i].Replicas == claims[i].Want || budget.Lacks(taken + claims[i].Replica) is not null, $"{claims[i].Deployment} could have one more");
        }
    });

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Share_RandomClaims_GiveNobodyMoreThanWantedNorLessThanTheMinimumWhereAllMinimumsFit(int seed) => ForRandom(seed, (budget, claims, shares, _) =>
    {
        bool fit = budget.Lacks(claims.Aggregate(default(BoxUse), (sum, c) => sum + (c.Replica * Math.Min(c.Min, c.Want)))) is null;
        for (int i = 0; i < claims.Count; i++)
        {
            Assert.InRange(shares[i].Replicas, fit ? Math.Min(claims[i].Min, claims[i].Want) : 0, claims[i].Want);
            Assert.Equal(shares[i].Replicas < claims[i].Want, shares[i].HeldBack is not null);
        }
    });

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Share_RandomClaims_MoreWeightIsNeverFewerReplicas(int seed) => ForRandom(seed, (budget, claims, shares, random) =>
    {
        if (claims.Count == 0)
        {
            return;
        }

        int chosen = random.Next(claims.Count);
        List<BoxClaim> heavier = [.. claims];
        heavier[chosen] = heavier[chosen] with { Weight = heavier[chosen].Weight + 1 + random.Next(20) };

        int more = BoxShares.Share(budget, heavier)[chosen].Replicas;

        Assert.True(more >= shares[chosen].Replicas, $"{claims[chosen]} had {shares[chosen].Replicas}, and {more} with weight {heavier[chosen].Weight}");
    });

    /// <summary>Equal claims may differ by the one replica that cannot be split.</summary>
    [Theory]
    [MemberData(nameof(Seeds))]
    public void Share_EqualClaims_DifferByOneAtMost(int seed)
    {
        Random random = new(seed);
        for (int round = 0; round < 200; round++)
        {
            BoxClaim claim = RandomClaim(random, 0);
            BoxClaim[] claims = [.. Enumerable.Range(0, random.Next(1, 8)).Select(i => claim with { Deployment = $"d{i}" })];

            IReadOnlyList<BoxShare> shares = BoxShares.Share(RandomBudget(random), claims);

            Assert.InRange(shares.Max(s => s.Replicas) - shares.Min(s => s.Replicas), 0, 1);
        }
    }

    public static TheoryData<int> Seeds => [1, 2, 3, 4, 5];

    private static void ForRandom(int seed, Action<BoxBudget, IReadOnlyList<BoxClaim>, IReadOnlyList<BoxShare>, Random> check)
    {
        Random random = new(seed);
        int scarce = 0;
        for (int round = 0; round < 1000; round++)
        {
            BoxBudget budget = RandomBudget(random);
            List<BoxClaim> claims = [.. Enumerable.Range(0, random.Next(8)).Select(i => RandomClaim(random, i))];
            IReadOnlyList<BoxShare> shares = BoxShares.Share(budget, claims);
            Assert.Equal(shares, BoxShares.Share(budget, claims));
            scarce += shares.Any(s => s.HeldBack is not null) ? 1 : 0;
            try
            {
                check(budget, claims, shares, random);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"Seed {seed}, round {round}: {budget.Limit} for\n{string.Join("\n", claims)}\ngives {string.Join(", ", shares.Select(s => s.Replicas))}", failure);
            }
        }

        Assert.InRange(scarce, 300, 900);
    }

    private static BoxBudget RandomBudget(Random random) => new(
        new(random.Next(3) == 0 ? random.Next(1, 40) : long.MaxValue, random.Next(100, 16_000), random.Next(3) == 0 ? long.MaxValue : random.Next(100, 8_000)), 8_000);

    private static BoxClaim RandomClaim(Random random, int index)
    {
        int min = random.Next(4);
        return new("app", $"d{index}", min, random.Next(3) == 0 ? min : random.Next(20), random.Next(1, 10),
            new(1, random.Next(4) == 0 ? 0 : random.Next(1, 30) * 100, random.Next(2) == 0 ? 0 : random.Next(1, 1_000)));
    }

    private static BoxUse Taken(IReadOnlyList<BoxClaim> claims, IReadOnlyList<BoxShare> shares) =>
        claims.Select((c, i) => c.Replica * shares[i].Replicas).Aggregate(default(BoxUse), (sum, use) => sum + use);

    private static BoxBudget Cpus(int cpus) => new(new(long.MaxValue, cpus * 1000, long.MaxValue), long.MaxValue);

    private static BoxClaim Claim(string name, int want, int min = 1, int weight = 1) => new("app", name, min, want, weight, OneCpu);

    private static IEnumerable<int> Shares(BoxBudget budget, params BoxClaim[] claims) => BoxShares.Share(budget, claims).Select(s => s.Replicas);
}
