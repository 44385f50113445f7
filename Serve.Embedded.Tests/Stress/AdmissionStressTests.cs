using System.Globalization;

namespace Serve.Embedded.Tests.Stress;

/// <summary>They measure memory and use every processor: nothing runs beside them.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;

/// <summary>
/// The invariants of admission over real threads. <c>SERVE_STRESS_ARRIVALS</c> makes the run longer, <c>SERVE_STRESS_SEED</c> replays a failure
/// as far as threads allow.
/// </summary>
[Collection(nameof(Alone))]
public sealed class AdmissionStressTests
{
    private const int FloodLimit = 100;

    /// <summary>What a queue may keep of those who have left: in proportion to its limit. A kept arrival is more than 100 bytes.</summary>
    private const long FloodBytes = 256 * 1024;

    public static TheoryData<int> Seeds() => Environment.GetEnvironmentVariable("SERVE_STRESS_SEED") is { } seed
        ? [int.Parse(seed, CultureInfo.InvariantCulture)]
        : [1, 2, 3, 20261124];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Gate_UnderStress_HoldsItsInvariants(int seed)
    {
        long arrivals = long.Parse(Environment.GetEnvironmentVariable("SERVE_STRESS_ARRIVALS") ?? "500000", CultureInfo.InvariantCulture);
        AdmissionStress stress = new(new GateSubject(seed), seed);
        IReadOnlyList<(int, string)> violations = stress.Run(arrivals);
        Assert.True(violations.Count == 0, stress.Describe(violations));
        Assert.True(stress.Arrivals >= arrivals);
    }

    [Fact]
    public void Gate_FloodThatLeavesAtOnce_CostsWhatTheLimitAllows() =>
        Assert.InRange(AdmissionStress.Flood(new GateSubject(1), 2_000_000, FloodLimit), long.MinValue, FloodBytes);

    /// <summary>The harness asks for nothing that a plain implementation does not give.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Locked_WithoutFault_HoldsTheInvariants(int seed)
    {
        AdmissionStress stress = new(new LockedSubject(Fault.None), seed);
        IReadOnlyList<(int, string)> violations = stress.Run(60_000);
        Assert.True(violations.Count == 0, stress.Describe(violations));
        Assert.InRange(AdmissionStress.Flood(new LockedSubject(Fault.None), 20_000, FloodLimit), long.MinValue, FloodBytes);
    }

    [Fact]
    public void Locked_OneTooManyAfterAResize_BreaksTheLimits() => AssertCaught(Fault.OneTooManyAfterAResize, 1);

    [Fact]
    public void Locked_QueueOneTooLong_BreaksTheLimits() => AssertCaught(Fault.QueueOneTooLong, 1);

    [Fact]
    public void Locked_LosesAWakeUp_IsNotWorkConserving() => AssertCaught(Fault.LosesAWakeUp, 2);

    [Fact]
    public void Locked_RefusesWhileAPermitIsFree_IsNotWorkConserving() => AssertCaught(Fault.RefusesWhileAPermitIsFree, 2);

    [Fact]
    public void Locked_LastInFirstOut_BreaksTheOrder() => AssertCaught(Fault.LastInFirstOut, 3);

    [Fact]
    public void Locked_CountsARequestTwice_DoesNotAddUp() => AssertCaught(Fault.CountsARequestTwice, 4);

    [Fact]
    public void Locked_EndsARequestTwice_DoesNotAddUp() => AssertCaught(Fault.EndsARequestTwice, 4);

    [Fact]
    public void Locked_GivesAPermitBackTwice_MakesPermits() => AssertCaught(Fault.GivesAPermitBackTwice, 5);

    [Fact]
    public void Locked_GrantsWhoHasLeft_ReachesAReplica() => AssertCaught(Fault.GrantsWhoHasLeft, 6);

    [Fact]
    public void Locked_KeepsWhoHasLeft_GrowsWithTheFlood() =>
        Assert.InRange(AdmissionStress.Flood(new LockedSubject(Fault.KeepsWhoHasLeft), 5_000, FloodLimit), FloodBytes, long.MaxValue);

    [Fact]
    public void Locked_GrantsOnARemovedReplica_IsSeen() => AssertCaught(Fault.GrantsOnARemovedReplica, 7);

    [Fact]
    public void Locked_LosesWhoWaitsWhenAReplicaGoes_IsSeen() => AssertCaught(Fault.LosesWhoWaitsWhenAReplicaGoes, 7);

    private static void AssertCaught(Fault fault, int invariant)
    {
        AdmissionStress stress = new(new LockedSubject(fault), 1);
        IReadOnlyList<(int Invariant, string Text)> violations = stress.Run(200_000);
        Assert.True(violations.Any(v => v.Invariant == invariant), $"{fault} should break invariant {invariant}. {stress.Describe(violations)}");
    }
}
