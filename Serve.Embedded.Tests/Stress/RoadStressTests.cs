using System.Globalization;

namespace Serve.Embedded.Tests.Stress;

/// <summary>
/// The invariants of both roads to a worker over real connections. <c>SERVE_STRESS_REQUESTS</c> makes the run longer, <c>SERVE_STRESS_SEED</c> replays a failure as far as threads allow.
/// </summary>
[Collection(nameof(Alone))]
public sealed class RoadStressTests
{
    private const int Requests = 4_000;

    public static TheoryData<int, bool> Seeds() => Environment.GetEnvironmentVariable("SERVE_STRESS_SEED") is { } seed
        ? new() { { int.Parse(seed, CultureInfo.InvariantCulture), false }, { int.Parse(seed, CultureInfo.InvariantCulture), true } }
        : new() { { 1, false }, { 2, true } };

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Roads_UnderStress_HoldTheirInvariants(int seed, bool repeats)
    {
        int requests = int.Parse(Environment.GetEnvironmentVariable("SERVE_STRESS_REQUESTS") ?? $"{Requests}", CultureInfo.InvariantCulture);
        RoadStress stress = new(seed, repeats: repeats);
        IReadOnlyList<(int, string)> violations = await stress.RunAsync(requests);
        Assert.True(violations.Count == 0, stress.Describe());

        // Or it would have tried nothing.
        int[] seen = [.. stress.Ledger.Requests.Where(r => r.Status is not null).Select(r => r.Status!.Value).Distinct()];
        Assert.Superset(new HashSet<int> { 200, 408, 429, 502 }, new HashSet<int>(seen));
        Assert.InRange(stress.Ledger.Requests.Count(r => r.Status == 200), requests / 10, int.MaxValue);
    }

    [Fact]
    public Task Roads_AConnectionIsGivenBackTooEarly_IsSeenByWhoGetsWhatIsAnothers() => AssertCaughtAsync(RoadFault.GivesAConnectionBackTooEarly, 1);

    [Fact]
    public Task Roads_APermitIsGivenBackTwice_IsSeenByTheWorkers() => AssertCaughtAsync(RoadFault.GivesAPermitBackTwice, 2);

    [Fact]
    public Task Roads_TheQueueIsOneTooLong_IsSeen() => AssertCaughtAsync(RoadFault.QueueOneTooLong, 3);

    [Fact]
    public Task Roads_APermitIsLost_IsSeenAtTheEnd() => AssertCaughtAsync(RoadFault.LosesAPermit, 4);

    [Fact]
    public Task Roads_ARequestNeverEnds_IsSeenWhenNothingElseHappens() => AssertCaughtAsync(RoadFault.NeverEnds, 5);

    [Fact]
    public Task Roads_ARequestIsCountedThatNobodySent_DoesNotAddUp() => AssertCaughtAsync(RoadFault.CountsOneTooMany, 6);

    [Fact]
    public Task Roads_APostRunsTwice_IsSeen() => AssertCaughtAsync(RoadFault.RunsTwice, 7);

    /// <summary>Whether two requests meet is chance, the more so where others want the processors: one run may miss it, not all of them.</summary>
    private static async Task AssertCaughtAsync(RoadFault fault, int invariant)
    {
        List<string> missed = [];
        for (int seed = 1; seed <= 4; seed++)
        {
            RoadStress stress = new(seed, fault);
            if ((await stress.RunAsync(1_500)).Any(v => v.Invariant == invariant))
            {
                return;
            }

            missed.Add(stress.Describe());
        }

        Assert.Fail($"{fault} should break invariant {invariant}. {string.Join(" ", missed)}");
    }
}
