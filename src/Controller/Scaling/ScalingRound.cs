using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller.Scaling;

/// <summary>
/// Looks at all deployments: reads the load of those that scale with it, lets each decide how many replicas it wants, and gives everybody as many as the box holds. Runs on the controller's loop.
/// </summary>
/// <param name="registry">Has the policies of the library's user.</param>
/// <param name="environment">The clock.</param>
/// <param name="logger">Told which policy cannot be followed.</param>
/// <param name="wake">Called, on any thread, when somebody waits for a deployment that scales and has no replica.</param>
internal sealed class ScalingRound(DeploymentRegistry registry, ServeEnvironment environment, ILogger logger, Action wake)
{
    /// <summary>How often load is looked at while a deployment scales with it.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);

    private readonly long _began = environment.Time.GetTimestamp();
    private MachineResources? _machine;
    private BoxConfig _box = new();

    /// <summary>When load is to be looked at next; a timestamp, <see cref="long.MaxValue"/> = nobody scales.</summary>
    public long DueAt { get; private set; } = long.MaxValue;

    /// <summary>A wish may have changed, so nothing may start before the box is shared.</summary>
    public bool MustShare { get; private set; }

    /// <summary>How the box was shared last; <see langword="null"/> = not yet.</summary>
    public BoxReport? Shared { get; private set; }

    /// <summary>Nobody waits for a first replica longer than it takes to start.</summary>
    public void DecideNow() => DueAt = 0;

    /// <summary>Somebody's wish may have changed.</summary>
    /// <param name="box">What there is to share; <see langword="null"/> = as before.</param>
    public void ShareAgain(BoxConfig? box = null)
    {
        MustShare = true;
        _box = box ?? _box;
    }

    /// <summary>There is something to look at.</summary>
    public bool IsDue(long now) => MustShare || DueAt <= now;

    /// <summary>Decides when it is due, and shares the box when a wish may have changed.</summary>
    /// <returns>Deployments whose number of replicas has changed.</returns>
    public IReadOnlyList<DeploymentState> Look(IReadOnlyList<DeploymentState> deployments, long now)
    {
        bool scales = deployments.Any(d => d.Scaler is not null);
        bool isDue = scales && (DueAt <= now || DueAt == long.MaxValue);
        if (isDue)
        {
            Decide(deployments, now);
        }

        foreach (DeploymentState deployment in deployments.Where(d => d.Scaler is not null))
        {
            deployment.Served.Gate.OnStarved = wake;
        }

        DueAt = !scales ? long.MaxValue : isDue ? now + (long)(Period.TotalSeconds * environment.Time.TimestampFrequency) : DueAt;
        if (!isDue && !MustShare)
        {
            return [];
        }

        MustShare = false;
        return Share(deployments);
    }

    private void Decide(IReadOnlyList<DeploymentState> deployments, long now)
    {
        ScalingTime time = new(environment.Time.GetElapsedTime(_began, now), environment.Time.GetUtcNow());
        foreach (DeploymentState deployment in deployments)
        {
            if (deployment.Scaler is { } scaler)
            {
                scaler.Decide(deployment, time, registry);
                TellTrouble(deployment, scaler.Trouble);
            }
        }
    }

    /// <summary>Once, and not at every decision.</summary>
    private void TellTrouble(DeploymentState deployment, string? trouble)
    {
        if (trouble is not null && trouble != deployment.ToldTrouble)
        {
            Log.ScalingTrouble(logger, deployment.Name, deployment.Served.Application, trouble);
        }

        deployment.ToldTrouble = trouble;
    }

    private List<DeploymentState> Share(IReadOnlyList<DeploymentState> deployments)
    {
        BoxBudget budget = BoxBudget.Of(_box, _machine ??= MachineResources.Read());
        List<BoxClaim> claims = [.. deployments.Select(d => Claim(d, budget))];
        IReadOnlyList<BoxShare> shares = BoxShares.Share(budget, claims);
        BoxUse taken = claims.Select((c, i) => c.Replica * shares[i].Replicas).Aggregate(default(BoxUse), (sum, use) => sum + use);
        Shared = new(budget.Limit, taken);
        List<DeploymentState> changed = [];
        ShareRoom(budget, taken, deployments, claims);
        for (int i = 0; i < claims.Count; i++)
        {
            if (deployments[i].ScaleTo(shares[i].Replicas, shares[i].HeldBack))
            {
                changed.Add(deployments[i]);
                if (shares[i].HeldBack is { } why && shares[i].Replicas < Math.Min(claims[i].Min, claims[i].Want))
                {
                    Log.HeldBack(logger, claims[i].Deployment, claims[i].Application, why);
                }
            }
        }

        return changed;
    }

    /// <summary>Rollouts share what is free, and the one replica by which the box may be exceeded: those under way keep what they have, others get what is left.</summary>
    private static void ShareRoom(BoxBudget budget, BoxUse taken, IReadOnlyList<DeploymentState> deployments, List<BoxClaim> claims)
    {
        foreach (int i in Enumerable.Range(0, claims.Count).OrderByDescending(i => deployments[i].Surge > 0).ThenByDescending(i => deployments[i].HasOldServing))
        {
            deployments[i].Room = RolloutRoom.Of(budget, taken, claims[i].Replica);
            taken += claims[i].Replica * deployments[i].Surge;
        }
    }

    private static BoxClaim Claim(DeploymentState deployment, BoxBudget budget)
    {
        DeploymentGoal goal = deployment.Goal;
        BoxUse replica = BoxUse.OfReplica(goal.NumCpus, goal.MemoryMb, isWorker: goal.Worker is not null);
        deployment.Scaler?.Limit(budget.Holds(replica));
        int want = deployment.Scaler?.Target ?? goal.NumReplicas;
        return new(deployment.Served.Application, deployment.Name, Math.Min(want, goal.NumReplicas), want, goal.Weight, replica);
    }
}

/// <summary>How one deployment follows its load: what it has measured, and what it decided last.</summary>
internal sealed class DeploymentScaler
{
    private readonly LoadMeter _meter;
    private AutoscalingGoal _goal;
    private AutoscalingGoal _limited;
    private AutoscalingState _state;

    /// <param name="goal">Its bounds, delays and factors.</param>
    /// <param name="replicas">The fixed number that decided until now; <see langword="null"/> = none did.</param>
    public DeploymentScaler(AutoscalingGoal goal, int? replicas)
    {
        _meter = new(goal.LookBackPeriod);
        _goal = _limited = goal;
        _state = AutoscalingState.Deploy(goal, before: null, replicas);
    }

    /// <summary>Replicas that the deployment wants.</summary>
    public int Target => _state.Target;

    /// <summary>Why its policy's last answer could not be used; <see langword="null"/> = it could.</summary>
    public string? Trouble => _state.Trouble;

    /// <summary>A new goal. What is known of the load stays known.</summary>
    public void Take(AutoscalingGoal goal)
    {
        if (goal == _goal)
        {
            return;
        }

        _meter.LookBackPeriod = goal.LookBackPeriod;
        _goal = _limited = goal;
        _state = AutoscalingState.Deploy(goal, _state);
    }

    /// <summary>The top of <c>"auto"</c> is what the box holds.</summary>
    public void Limit(int replicas) => _limited = _goal.CutTo(replicas);

    public void Decide(DeploymentState deployment, ScalingTime now, DeploymentRegistry registry)
    {
        Handles.AdmissionGate gate = deployment.Served.Gate;
        RequestTotals totals = gate.Totals;
        LoadSample sample = new(gate.Replicas.Sum(r => r.Permits.Ongoing), gate.Waiting, totals.Shed, totals.Ended);
        LoadReading load = _meter.Read(sample, now.Elapsed, _limited.Aggregation);
        IAutoscalingPolicy? policy = _limited.Policy is { } name ? registry.AutoscalingPolicies.GetValueOrDefault(name) : null;
        _state = Autoscaler.Decide(_limited, _state, new(deployment.Served.Application, deployment.Name, gate.Replicas.Length, load), now, policy);
    }
}
