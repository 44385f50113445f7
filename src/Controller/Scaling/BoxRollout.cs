namespace Serve.Embedded.Controller.Scaling;

/// <summary>How a rollout may use the box.</summary>
/// <param name="MostSurge">Replicas that it may have beyond its target at the same time; 0 = old ones must go before new ones come; <see cref="int.MaxValue"/> = any number.</param>
/// <param name="Why">For the log, why it is 0; <see langword="null"/> = it is not.</param>
internal readonly record struct RolloutRoom(int MostSurge, string? Why)
{
    /// <summary>
    /// A rollout fills what is free, and where nothing is it may exceed the budget by one replica, since a short while of less than was planned for is better than a deployment with one replica
    /// too few. It may not where somebody exceeds the budget already, or where the memory is not there at all.
    /// </summary>
    /// <param name="budget">The box.</param>
    /// <param name="taken">What all deployments take at their targets, and what other rollouts have beyond theirs.</param>
    /// <param name="replica">What one replica of this deployment takes.</param>
    public static RolloutRoom Of(BoxBudget budget, BoxUse taken, BoxUse replica)
    {
        int room = budget.Holds(replica, taken);
        if (room > 0)
        {
            return new(room, null);
        }

        string first = "Old replicas stop before new ones start, as with rolling_update = \"replace\": ";
        if (budget.Lacks(taken) is { } exceeded)
        {
            return new(0, $"{first}the box is exceeded already, with {BoxBudget.Words(exceeded, taken)} of {BoxBudget.Words(exceeded, budget.Limit)} taken.");
        }

        return (taken + replica).MemoryMb > budget.MachineMemoryMb
            ? new(0, $"{first}{taken.MemoryMb} MiB of memory are taken and one more replica needs {replica.MemoryMb}, but the machine has only {budget.MachineMemoryMb}.")
            : new(1, null);
    }
}
