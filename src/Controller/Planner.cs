using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>What the planner sees of one replica.</summary>
internal sealed record ObservedReplica(string Id, ReplicaState State, int Limit, string? UserConfig);

/// <summary>What the planner sees of one deployment. Replicas are in the order in which they were made.</summary>
/// <param name="Replicas">All that have not ended.</param>
/// <param name="GivenUp">So many starts have failed in a row that no more are tried until the goal changes.</param>
internal sealed record ObservedDeployment(IReadOnlyList<ObservedReplica> Replicas, bool GivenUp);

/// <summary>One step towards the goal.</summary>
internal abstract record ReplicaAction
{
    /// <summary>Make one more replica.</summary>
    internal sealed record Start : ReplicaAction;

    /// <summary>Let this one finish what it has, and end it.</summary>
    internal sealed record Stop(string Id) : ReplicaAction;

    /// <summary>Hand this one the goal's <c>user_config</c>.</summary>
    internal sealed record Reconfigure(string Id) : ReplicaAction;

    /// <summary>Give this one the goal's <c>max_ongoing_requests</c>.</summary>
    internal sealed record Resize(string Id) : ReplicaAction;
}

/// <summary>From the goal and what is, the steps to take now: a pure function, with no clock, thread or I/O. Asked again whenever something has changed.</summary>
internal static class Planner
{
    public static IReadOnlyList<ReplicaAction> Plan(DeploymentGoal goal, ObservedDeployment observed)
    {
        List<ReplicaAction> actions = [];
        List<ObservedReplica> alive = [.. observed.Replicas.Where(r => r.State is ReplicaState.Starting || r.State.TakesRequests())];

        // Those that do not serve yet go first, then the newest.
        foreach (ObservedReplica surplus in alive.AsEnumerable().Reverse().OrderBy(r => r.State != ReplicaState.Starting).Take(alive.Count - goal.NumReplicas).ToList())
        {
            // A starting replica is stopped when it is up: its handler's constructor cannot be interrupted.
            if (surplus.State == ReplicaState.Running)
            {
                actions.Add(new ReplicaAction.Stop(surplus.Id));
            }

            alive.Remove(surplus);
        }

        actions.AddRange(alive.Where(r => r.State.TakesRequests() && r.Limit != goal.MaxOngoingRequests).Select(r => new ReplicaAction.Resize(r.Id)));
        Reconfigure(goal, alive, actions);
        if (!observed.GivenUp)
        {
            actions.AddRange(Enumerable.Range(0, Math.Max(0, goal.NumReplicas - alive.Count)).Select(_ => new ReplicaAction.Start()));
        }

        return actions;
    }

    /// <summary>The first replica tries a new <c>user_config</c> alone; a value that it refuses never reaches the others.</summary>
    private static void Reconfigure(DeploymentGoal goal, List<ObservedReplica> alive, List<ReplicaAction> actions)
    {
        if (goal.UserConfig is null)
        {
            return;
        }

        bool tried = alive.Any(r => r.State == ReplicaState.Running && r.UserConfig == goal.UserConfig);
        bool trying = alive.Any(r => r.State == ReplicaState.Updating);
        IEnumerable<ObservedReplica> old = alive.Where(r => r.State == ReplicaState.Running && r.UserConfig != goal.UserConfig);
        actions.AddRange((tried ? old : trying ? [] : old.Take(1)).Select(r => new ReplicaAction.Reconfigure(r.Id)));
    }
}
