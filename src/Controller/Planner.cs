using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>What a deployment shall have now.</summary>
internal sealed record DeploymentTarget
{
    /// <summary>Replicas of the wanted code.</summary>
    public required int NumReplicas { get; init; }

    /// <summary>Replicas, of any code, that keep serving until there are enough of the wanted code.</summary>
    public required int Floor { get; init; }

    public required int MaxOngoingRequests { get; init; }

    public string? UserConfig { get; init; }

    public double RollingUpdatePercentage { get; init; } = 0.2;

    /// <summary>Old replicas go before the new are up.</summary>
    public bool Replaces { get; init; }

    /// <summary>The most replicas that a rollout may have beyond <see cref="Floor"/>.</summary>
    public int MostSurge { get; init; } = int.MaxValue;

    /// <summary>Replicas that are up may be given requests: the first of every changed deployment of the application are.</summary>
    public bool MayAdmit { get; init; } = true;

    /// <summary>No start before this timestamp: some have failed.</summary>
    public long StartNotBefore { get; init; }
}

/// <summary>What the planner sees of one replica.</summary>
/// <param name="Id">Its id.</param>
/// <param name="State">Where it is in its life.</param>
/// <param name="IsCurrent">It is made from the wanted code.</param>
/// <param name="IsReady">It has started and waits to be admitted.</param>
/// <param name="Limit">Its <c>max_ongoing_requests</c>.</param>
/// <param name="UserConfig">The <c>user_config</c> that it has taken.</param>
/// <param name="CheckAt">When its health is to be checked; 0 = it has no check, or one runs.</param>
internal sealed record ObservedReplica(
    string Id, ReplicaState State, bool IsCurrent = true, bool IsReady = false, int Limit = 0, string? UserConfig = null, long CheckAt = 0);

/// <summary>What the planner sees of one deployment. Replicas are in the order in which they were made, but that those that are worn out stand before all others, the last of them first.</summary>
/// <param name="Replicas">All that have not ended.</param>
/// <param name="Abandoned">Replicas whose handlers would not end: their threads are still there.</param>
/// <param name="ScalesDown">Replicas drain because fewer are wanted.</param>
internal sealed record ObservedDeployment(IReadOnlyList<ObservedReplica> Replicas, int Abandoned = 0, bool ScalesDown = false);

/// <summary>One step towards the goal.</summary>
internal abstract record ReplicaAction
{
    /// <summary>Make one more replica.</summary>
    internal sealed record Start : ReplicaAction;

    /// <summary>Give this one requests: it is up.</summary>
    internal sealed record Admit(string Id) : ReplicaAction;

    /// <summary>Let this one finish what it has, and end it.</summary>
    /// <param name="Id">Which.</param>
    /// <param name="ScalesDown">Because fewer are wanted, and not because another takes its place.</param>
    internal sealed record Stop(string Id, bool ScalesDown = false) : ReplicaAction;

    /// <summary>Hand this one the goal's <c>user_config</c>.</summary>
    internal sealed record Reconfigure(string Id) : ReplicaAction;

    /// <summary>Give this one the goal's <c>max_ongoing_requests</c>.</summary>
    internal sealed record Resize(string Id) : ReplicaAction;

    /// <summary>Ask this one whether it is well.</summary>
    internal sealed record CheckHealth(string Id) : ReplicaAction;
}

/// <summary>The steps to take now, and when there will be more although nothing has happened.</summary>
/// <param name="Actions">In this order.</param>
/// <param name="StartAt">When starts that must wait are due; a timestamp, <see cref="long.MaxValue"/> = none waits.</param>
internal sealed record DeploymentPlan(IReadOnlyList<ReplicaAction> Actions, long StartAt);

/// <summary>
/// From the goal, what is, and the time, the steps to take now: a pure function, with no clock, thread or I/O. Asked again whenever something has changed.
/// </summary>
/// <remarks>
/// A rollout is start-first: up to a wave of new replicas start beside the old, and as many old ones drain as new ones serve, so that never fewer than
/// <see cref="DeploymentTarget.Floor"/> serve. With <see cref="DeploymentTarget.Replaces"/> it is Ray Serve's arithmetic: a wave of old ones drains while as many new ones start.
/// </remarks>
internal static class Planner
{
    public static DeploymentPlan Plan(DeploymentTarget target, ObservedDeployment observed, long now)
    {
        List<ReplicaAction> actions = [];
        List<ObservedReplica> current = [.. observed.Replicas.Where(r => r.IsCurrent && IsAlive(r))];
        List<ObservedReplica> old = [.. observed.Replicas.Where(r => !r.IsCurrent && IsAlive(r))];

        // An old one that never served is not waited for. A constructor cannot be interrupted: then it ends when it is up.
        actions.AddRange(old.Where(r => r.IsReady).Select(r => new ReplicaAction.Stop(r.Id)));
        old.RemoveAll(r => r.State == ReplicaState.Starting);

        bool stopsForScale = StopSurplus(target, current, target.Replaces ? old : [], actions);
        if (target.MayAdmit || old.Count == 0)
        {
            actions.AddRange(current.Where(r => r.IsReady).Select(r => new ReplicaAction.Admit(r.Id)));
        }

        int serving = current.Count(r => r.State.TakesRequests() || (r.IsReady && (target.MayAdmit || old.Count == 0)));
        int starts;
        if (target.Replaces)
        {
            Replace(target, serving, old, waits: stopsForScale || observed.ScalesDown, actions);
            starts = target.NumReplicas - current.Count - old.Count;
        }
        else
        {
            starts = StartFirst(target, serving, current, old, actions);
        }

        actions.AddRange(current.Where(r => r.State.TakesRequests() && r.Limit != target.MaxOngoingRequests).Select(r => new ReplicaAction.Resize(r.Id)));
        Reconfigure(target, current, actions);
        actions.AddRange(current.Concat(old).Where(r => r.State.TakesRequests() && r.CheckAt != 0 && r.CheckAt <= now).Select(r => new ReplicaAction.CheckHealth(r.Id)));

        // A handler that hangs keeps its threads: its replica is replaced once, and not for ever. Where one has hung, those on their way out may hang too.
        int ending = observed.Abandoned == 0 ? 0 : observed.Replicas.Count(r => r.State == ReplicaState.Draining);
        starts = Math.Min(starts, MostStarts(target.NumReplicas, observed.Abandoned + ending, current.Count));
        if (starts > 0 && target.StartNotBefore <= now)
        {
            actions.AddRange(Enumerable.Range(0, starts).Select(_ => new ReplicaAction.Start()));
        }

        return new(actions, starts > 0 && target.StartNotBefore > now ? target.StartNotBefore : long.MaxValue);
    }

    /// <summary>How many replicas a rollout or a reconfigure works on at the same time.</summary>
    public static int Wave(double percentage, int replicas) => Math.Max(1, (int)Math.Floor((percentage * replicas) + 1e-9));

    /// <summary>How many may start so that, with those whose handlers hang, there are at most twice as many as wanted.</summary>
    public static int MostStarts(int wanted, int abandoned, int current) => (2 * wanted) - abandoned - current;

    /// <summary>It serves, or will.</summary>
    public static bool IsAlive(ReplicaState state) => state == ReplicaState.Starting || state.TakesRequests();

    private static bool IsAlive(ObservedReplica replica) => IsAlive(replica.State);

    /// <summary>More than wanted: those that do not serve yet go first, then old code, then the newest. What is left is in the lists.</summary>
    private static bool StopSurplus(DeploymentTarget target, List<ObservedReplica> current, List<ObservedReplica> old, List<ReplicaAction> actions)
    {
        bool any = false;
        int surplus = current.Count + old.Count - target.NumReplicas;
        if (surplus <= 0)
        {
            return any;
        }

        foreach (ObservedReplica replica in current.Concat(old).Reverse().OrderBy(r => r.State != ReplicaState.Starting).ThenBy(r => r.IsCurrent).Take(surplus).ToList())
        {
            if (replica.State == ReplicaState.Running || replica.IsReady)
            {
                actions.Add(new ReplicaAction.Stop(replica.Id, ScalesDown: true));
                any = true;
            }

            // One that is being reconfigured ends when it is done; one that starts, when it is up.
            current.Remove(replica);
            old.Remove(replica);
        }

        return any;
    }

    /// <summary>Returns how many to start.</summary>
    private static int StartFirst(DeploymentTarget target, int serving, List<ObservedReplica> current, List<ObservedReplica> old, List<ReplicaAction> actions)
    {
        if (old.Count == 0)
        {
            return target.NumReplicas - current.Count;
        }

        int kept = serving >= target.NumReplicas ? 0 : Math.Max(0, target.Floor - serving);
        Drain(old, old.Count - kept, actions);
        int surge = Math.Min(Wave(target.RollingUpdatePercentage, target.NumReplicas), target.MostSurge);
        return Math.Min(target.NumReplicas - current.Count, target.Floor + surge - old.Count - current.Count);
    }

    private static void Replace(DeploymentTarget target, int serving, List<ObservedReplica> old, bool waits, List<ReplicaAction> actions)
    {
        if (!waits)
        {
            int pending = target.NumReplicas - serving - old.Count;
            Drain(old, Wave(target.RollingUpdatePercentage, target.NumReplicas) - Math.Max(0, pending), actions);
        }
    }

    /// <summary>The newest go first; one that is being reconfigured is left to it until it is done.</summary>
    private static void Drain(List<ObservedReplica> old, int count, List<ReplicaAction> actions)
    {
        foreach (ObservedReplica replica in old.Where(r => r.State == ReplicaState.Running).Reverse().Take(Math.Max(0, count)).ToList())
        {
            actions.Add(new ReplicaAction.Stop(replica.Id));
            old.Remove(replica);
        }
    }

    /// <summary>The first replica tries a new <c>user_config</c> alone, so that a value that it refuses never reaches the others; they follow in waves.</summary>
    private static void Reconfigure(DeploymentTarget target, List<ObservedReplica> current, List<ReplicaAction> actions)
    {
        if (target.UserConfig is null)
        {
            return;
        }

        bool tried = current.Any(r => r.State == ReplicaState.Running && r.UserConfig == target.UserConfig);
        int most = tried ? Wave(target.RollingUpdatePercentage, target.NumReplicas) : 1;
        int trying = current.Count(r => r.State == ReplicaState.Updating);
        actions.AddRange(current
            .Where(r => r.State == ReplicaState.Running && r.UserConfig != target.UserConfig)
            .Take(Math.Max(0, most - trying))
            .Select(r => new ReplicaAction.Reconfigure(r.Id)));
    }
}
