namespace Serve.Embedded.Controller.Scaling;

/// <summary>What one deployment wants of the box.</summary>
/// <param name="Application">Its application's name.</param>
/// <param name="Deployment">Its name.</param>
/// <param name="Min">Replicas that it shall have in any case: <c>min_replicas</c>, or its fixed number.</param>
/// <param name="Want">Replicas that it wants now.</param>
/// <param name="Weight">1 or more.</param>
/// <param name="Replica">What each of them takes.</param>
internal sealed record BoxClaim(string Application, string Deployment, int Min, int Want, int Weight, BoxUse Replica);

/// <summary>What one deployment gets.</summary>
/// <param name="Replicas">How many replicas, at most as many as it wants.</param>
/// <param name="HeldBack">In a sentence, why it gets fewer than it wants; <see langword="null"/> = it does not.</param>
internal readonly record struct BoxShare(int Replicas, string? HeldBack);

/// <summary>
/// Who gets how many replicas where all together want more than the box holds: a pure function of claims and budget, the same answer for the same question.
/// </summary>
/// <remarks>
/// Everybody whose minimum is not 0 first gets one replica, since none at all serves nobody; then the minimum; then one replica after another goes to whoever has the smallest part of the box
/// for its weight, until nothing that anybody wants fits any more. The part is that of the scarcest thing that a replica takes (dominant resource fairness), so that large replicas and small
/// ones are compared by what they use up. Replicas that take nothing are never held back. More weight never means fewer replicas.
/// </remarks>
internal static class BoxShares
{
    /// <returns>The shares, in the order of the claims.</returns>
    public static IReadOnlyList<BoxShare> Share(BoxBudget budget, IReadOnlyList<BoxClaim> claims)
    {
        BoxUse wanted = Sum(claims, c => c.Want);
        if (budget.Lacks(wanted) is null)
        {
            return [.. claims.Select(c => new BoxShare(c.Want, null))];
        }

        int[] shares = new int[claims.Count];
        BoxResource?[] lacks = new BoxResource?[claims.Count];
        BoxUse minimums = Sum(claims, Minimum);
        BoxUse taken = Fill(budget, claims, c => Math.Min(1, Minimum(c)), default, shares, lacks);
        taken = Fill(budget, claims, Minimum, taken, shares, lacks);

        // What is filled from here on may lack something else, and is no reason why a minimum was not reached.
        BoxResource?[] lacksForMinimum = [.. lacks];
        Fill(budget, claims, c => c.Want, taken, shares, lacks);
        int weights = claims.Sum(c => c.Weight);
        return [.. claims.Select((claim, i) => new BoxShare(shares[i],
            shares[i] == claim.Want ? null
            : shares[i] < Minimum(claim) ? BelowMinimum(budget, claim, shares[i], lacksForMinimum[i]!.Value, minimums)
            : ByWeight(budget, claim, shares[i], weights, lacks[i]!.Value, wanted)))];
    }

    private static int Minimum(BoxClaim claim) => Math.Min(claim.Min, claim.Want);

    private static BoxUse Sum(IReadOnlyList<BoxClaim> claims, Func<BoxClaim, int> replicas) =>
        claims.Aggregate(default(BoxUse), (sum, claim) => sum + (claim.Replica * replicas(claim)));

    /// <summary>Gives replicas, up to <paramref name="most"/> for each, while they fit, and says what is taken then.</summary>
    private static BoxUse Fill(BoxBudget budget, IReadOnlyList<BoxClaim> claims, Func<BoxClaim, int> most, BoxUse taken, int[] shares, BoxResource?[] lacks)
    {
        PriorityQueue<int, (double Part, int Index)> queue = new();
        for (int i = 0; i < shares.Length; i++)
        {
            Enqueue(i);
        }

        while (queue.TryDequeue(out int index, out _))
        {
            BoxUse more = taken + claims[index].Replica;
            lacks[index] = budget.Lacks(more);
            if (lacks[index] is null)
            {
                taken = more;
                shares[index]++;
                Enqueue(index);
            }
        }

        return taken;

        void Enqueue(int i)
        {
            if (shares[i] < most(claims[i]))
            {
                queue.Enqueue(i, (budget.LargestPart(claims[i].Replica * (shares[i] + 1)) / claims[i].Weight, i));
            }
        }
    }

    private static string ByWeight(BoxBudget budget, BoxClaim claim, int share, int weights, BoxResource lacks, BoxUse wanted) =>
        $"Held back by the box: it wants {claim.Want} replicas and gets {share} by its weight, {claim.Weight} of {weights}. "
            + $"All deployments together want {BoxBudget.Words(lacks, wanted)}, and the box has {BoxBudget.Words(lacks, budget.Limit)} ({BoxBudget.Key(lacks)} in [box]).";

    private static string BelowMinimum(BoxBudget budget, BoxClaim claim, int share, BoxResource lacks, BoxUse minimums) =>
        $"Held back by the box below its minimum: it shall have {claim.Min} replicas and gets {share}. "
            + $"The minimums of all deployments together need {BoxBudget.Words(lacks, minimums)}, and the box has {BoxBudget.Words(lacks, budget.Limit)}. "
            + $"Raise {BoxBudget.Key(lacks)} in [box], or lower min_replicas, num_replicas or what each replica asks for (num_cpus, memory_mb; a worker counts for 1 CPU where nothing is set).";
}
