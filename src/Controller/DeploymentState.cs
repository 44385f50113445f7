using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>One deployment as it runs: its goal, its replicas and its status. Only the controller's loop touches it.</summary>
internal sealed class DeploymentState
{
    /// <summary>Failed starts per wanted replica after which no more are tried; and the most in all.</summary>
    private const int StartsPerReplica = 3;
    private const int MostStarts = 20;

    private readonly List<ReplicaEntry> _replicas = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _failedStarts;

    public DeploymentState(ServedDeployment served, DeploymentGoal goal)
    {
        Served = served;
        Goal = goal;
    }

    public ServedDeployment Served { get; }

    public string Name => Served.Name;

    /// <summary>As it shall be; a refused <c>user_config</c> is put back here to the one before.</summary>
    public DeploymentGoal Goal { get; private set; }

    public DeploymentStatus Status { get; private set; } = DeploymentStatus.Updating;

    public StatusTrigger Trigger { get; private set; } = StatusTrigger.ConfigUpdateStarted;

    public string Message { get; private set; } = string.Empty;

    public IReadOnlyList<ReplicaEntry> Replicas => _replicas;

    /// <summary>The last <c>user_config</c> that a replica took: where a refused one goes back to.</summary>
    public string? GoodUserConfig { get; private set; }

    public bool GivenUp => _failedStarts >= Math.Min(MostStarts, StartsPerReplica * Goal.NumReplicas);

    public bool HasRunning => _replicas.Any(r => r.Replica.State.TakesRequests());

    public bool IsStarting => _replicas.Any(r => r.Replica.State == ReplicaState.Starting);

    /// <summary>Everything is as the goal wants it and nothing is on its way.</summary>
    public bool IsAtGoal =>
        _replicas.Count == Goal.NumReplicas &&
        _replicas.All(r => r.Replica.State == ReplicaState.Running &&
            r.Replica.Permits.Limit == Goal.MaxOngoingRequests &&
            (Goal.UserConfig is null || r.UserConfig == Goal.UserConfig));

    /// <summary>Nothing more will happen by itself.</summary>
    public bool IsSettled => IsAtGoal || (GivenUp && !IsStarting && _replicas.All(r => r.Replica.State == ReplicaState.Running));

    /// <summary>It is retired and its replicas end.</summary>
    public bool IsEnding { get; private set; }

    public bool HasEnded => _ended.Task.IsCompleted;

    /// <summary>Completes when it is retired and its last replica is gone.</summary>
    public Task Ended => _ended.Task;

    public ObservedDeployment Observe() => new(
        [.. _replicas.Select(r => new ObservedReplica(r.Replica.Id, r.Replica.State, r.Replica.Permits.Limit, r.UserConfig))],
        GivenUp);

    /// <summary>Takes a new goal: the live keys at once, the rest is for the planner.</summary>
    public void Take(DeploymentGoal goal)
    {
        DeploymentGoal before = Goal;
        if (goal == before)
        {
            return;
        }

        Goal = goal;
        _failedStarts = 0;
        Served.Limits = LimitsOf(goal);
        bool onlyScaled = goal with { NumReplicas = before.NumReplicas } == before;
        Happened(!onlyScaled ? DeploymentEvent.NewConfig
            : goal.NumReplicas > before.NumReplicas ? DeploymentEvent.ScaledUp
            : DeploymentEvent.ScaledDown);
        Message = onlyScaled
            ? $"{(goal.NumReplicas > before.NumReplicas ? "Upscaling" : "Downscaling")} from {before.NumReplicas} to {goal.NumReplicas} replicas."
            : string.Empty;
    }

    public void Add(Replica replica) => _replicas.Add(new(replica));

    public ReplicaEntry Find(string id) => _replicas.First(r => r.Replica.Id == id);

    public ReplicaEntry Find(Replica replica) => _replicas.First(r => r.Replica == replica);

    public void Remove(Replica replica) => _replicas.RemoveAll(r => r.Replica == replica);

    public void ReplicaTook(Replica replica, string? userConfig)
    {
        Find(replica).UserConfig = userConfig;
        GoodUserConfig = userConfig;
        _failedStarts = 0;
    }

    public void StartFailed(string error)
    {
        _failedStarts++;
        if (GivenUp)
        {
            Happened(DeploymentEvent.StartFails);
            Message = $"The deployment failed to start {_failedStarts} times in a row. This may be due to a problem with its constructor or its user_config. Error: {error}";
        }
        else
        {
            int more = Math.Min(MostStarts, StartsPerReplica * Goal.NumReplicas) - _failedStarts;
            Message = $"A replica failed to start with exception. Retrying {more} more time(s). Error: {error}";
        }
    }

    /// <summary>A running replica refused the goal's <c>user_config</c>: the one before stays.</summary>
    public void ConfigRefused(string error)
    {
        Happened(DeploymentEvent.ConfigRefused);
        Message = $"The new user_config was refused and the one before stays in force. Error: {error}";
        Goal = Goal with { UserConfig = GoodUserConfig };
    }

    public void BecameHealthy()
    {
        DeploymentStatus before = Status;
        Happened(DeploymentEvent.BecomesHealthy);
        if (Status != before)
        {
            Message = string.Empty;
        }
    }

    /// <summary>From now on nothing new runs here; who comes late is sent on to what has taken its place.</summary>
    public void BeginEnd()
    {
        IsEnding = true;
        Served.Gate.SetUnavailable(true);
    }

    public void CompleteEnd()
    {
        if (_replicas.Count == 0 && _ended.TrySetResult())
        {
            Served.Dispose();
        }
    }

    public void Delete() => Happened(DeploymentEvent.Deleted);

    public static DeploymentLimits LimitsOf(DeploymentGoal goal) => new()
    {
        MaxOngoingRequests = goal.MaxOngoingRequests,
        MaxQueuedRequests = goal.MaxQueuedRequests,
        MaxQueueWait = goal.MaxQueueWait,
        BackpressureStatusCode = goal.BackpressureStatusCode,
        RetryAfterS = goal.RetryAfterS,
    };

    private void Happened(DeploymentEvent happened) => (Status, Trigger) = Statuses.Next(Status, Trigger, happened);
}

/// <summary>A replica and what the controller knows of it.</summary>
internal sealed class ReplicaEntry(Replica replica)
{
    public Replica Replica => replica;

    /// <summary>The <c>user_config</c> that it has taken.</summary>
    public string? UserConfig { get; set; }
}
