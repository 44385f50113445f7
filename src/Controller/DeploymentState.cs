using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Controller;

/// <summary>One deployment as it runs: its goal, its replicas and its status. Only the controller's loop touches it.</summary>
internal sealed class DeploymentState
{
    /// <summary>Failed starts per wanted replica after which a deployment counts as failed.</summary>
    private const int StartsPerReplica = 3;

    /// <summary>As many failures as nobody waits for.</summary>
    private const int Hopeless = 1_000_000;

    private readonly List<ReplicaEntry> _replicas = [];
    private readonly BackOff _backOff = new();
    private readonly CrashLoop _crashLoop = new();
    private int _failures;
    private string? _goodUserConfig;

    /// <summary>A goal was taken whose number of replicas is not decided yet: that is the goal's doing, and no scaling.</summary>
    private bool _begins = true;
    private bool _restarts;

    public DeploymentState(ServedDeployment served, DeploymentDefinition definition, ReplicaCode code, DeploymentGoal goal)
    {
        Served = served;
        Definition = definition;
        Code = code;
        Goal = goal;
        Scaler = goal.Autoscaling is { } autoscaling ? new(autoscaling, replicas: null) : null;
        NumReplicas = Scaler?.Target ?? goal.NumReplicas;
        Floor = NumReplicas;
    }

    public ServedDeployment Served { get; }

    public string Name => Served.Name;

    /// <summary>Makes the replicas of the wanted code.</summary>
    public DeploymentDefinition Definition { get; private set; }

    /// <summary>The wanted code.</summary>
    public ReplicaCode Code { get; private set; }

    public DeploymentGoal Goal { get; private set; }

    /// <summary>Follows its load; <see langword="null"/> = the number of replicas is fixed.</summary>
    public DeploymentScaler? Scaler { get; private set; }

    /// <summary>Replicas that it shall have now: what the goal or the load asks for, as far as the box holds it.</summary>
    public int NumReplicas { get; private set; }

    /// <summary>Why it has fewer replicas than it wants; <see langword="null"/> = it does not.</summary>
    public string? HeldBack { get; private set; }

    /// <summary>How far a rollout may exceed the box.</summary>
    public RolloutRoom Room { get; set; } = new(int.MaxValue, null);

    /// <summary>Replicas that a rollout under way may have beyond its target; 0 = there is none, or it stops old ones first.</summary>
    public int Surge => HasOldServing && !Replaces ? FirstWave : 0;

    /// <summary>The trouble with its policy that the log says already.</summary>
    public string? ToldTrouble { get; set; }

    /// <summary>The log says already that this rollout stops old replicas first.</summary>
    public bool WasWarnedOfReplacing { get; set; }

    public DeploymentStatus Status { get; private set; } = DeploymentStatus.Updating;

    public StatusTrigger Trigger { get; private set; } = StatusTrigger.ConfigUpdateStarted;

    public string Message { get; private set; } = string.Empty;

    public IReadOnlyList<ReplicaEntry> Replicas => _replicas;

    /// <summary>The last log lines of the replica that failed last.</summary>
    public IReadOnlyList<string> LogTail { get; private set; } = [];

    /// <summary>Replicas whose handlers would not end.</summary>
    public int Abandoned { get; set; }

    /// <summary>Replicas that another had to take the place of: they died, were unhealthy or were worn out.</summary>
    public int Restarts { get; set; }

    /// <summary>Replicas that keep serving until there are enough of the wanted code.</summary>
    public int Floor { get; private set; }

    /// <summary>The <c>user_config</c> that a running replica refused, so that nobody else is asked.</summary>
    public string? RefusedUserConfig { get; private set; }

    /// <summary>Old replicas go before the new are up: the operator wants it, or the box holds no more.</summary>
    private bool Replaces => Goal.Replaces || Room.MostSurge == 0;

    /// <summary>Why the wanted code cannot be started as far as is known; each start finds out anew.</summary>
    private string? BuildError => Goal.Worker?.BuildError;

    /// <summary>New replicas beside the old ones, as many as a rollout may begin with.</summary>
    private int FirstWave => Math.Min(NumReplicas, Math.Min(Planner.Wave(Goal.RollingUpdatePercentage, NumReplicas), Room.MostSurge));

    private int MostFailures => Math.Min(Goal.MaxConstructorRetryCount, StartsPerReplica * Math.Max(1, NumReplicas));

    /// <summary>
    /// Replicas are missing, and none may start beside those whose handlers would not end: so many that their threads are as many again as those of all that are wanted.
    /// </summary>
    public bool IsHeldUp => Abandoned > 0 && Alive < NumReplicas && Planner.MostStarts(NumReplicas, Abandoned, Alive) <= 0;

    /// <summary>It is at its goal each time that a replica is up, and has failed all the same.</summary>
    public bool IsCrashLooping => _crashLoop.Count >= MostFailures;

    /// <summary>So much has failed that the attempt counts as failed. Starts go on, further and further apart.</summary>
    public bool HasFailed => IsHeldUp || _failures >= MostFailures || IsCrashLooping || (RefusedUserConfig is not null && RefusedUserConfig == Goal.UserConfig);

    private int Alive => _replicas.Count(r => IsCurrent(r) && Planner.IsAlive(r.Replica.State));

    /// <summary>The box has no place for a single replica of it, so that nobody is to wait for one. (One that its load has brought to zero is woken by whoever asks for it.)</summary>
    public bool IsLeftOut => NumReplicas == 0 && HeldBack is not null;

    /// <summary>Its load has brought it to zero, and who asks for it wakes it: a load balancer that sent nobody would let it sleep for ever.</summary>
    public bool IsAsleep => NumReplicas == 0 && HeldBack is null && Scaler is not null;

    public bool IsServing => _replicas.Any(r => r.Replica.State.TakesRequests());

    public bool IsStarting => _replicas.Any(r => r.Replica.State == ReplicaState.Starting);

    /// <summary>Replicas of another code still serve.</summary>
    public bool HasOldServing => _replicas.Any(r => !IsCurrent(r) && r.Replica.State.TakesRequests());

    /// <summary>Enough replicas of the wanted code serve.</summary>
    public bool HasEnough => _replicas.Count(r => IsCurrent(r) && r.Replica.State.TakesRequests()) >= NumReplicas;

    /// <summary>The first replicas of the wanted code are up, as many as a rollout may have beside the old: it can be trusted with requests.</summary>
    public bool FirstWaveIsUp =>
        Replaces || _replicas.Count(r => IsCurrent(r) && (r.IsReady || r.Replica.State.TakesRequests())) >= FirstWave;

    /// <summary>Everything is as the goal wants it and nothing is on its way.</summary>
    public bool IsAtGoal =>
        BuildError is null &&
        _replicas.Count == NumReplicas &&
        _replicas.All(r => IsCurrent(r) &&
            r.Replica.State == ReplicaState.Running &&
            r.Replica.Permits.Limit == Goal.MaxOngoingRequests &&
            (Goal.UserConfig is null || r.UserConfig == Goal.UserConfig));

    /// <summary>Where its retirement is.</summary>
    public Retirement Retirement { get; set; }

    public DeploymentTarget Target(bool mayAdmit) => new()
    {
        NumReplicas = BuildError is null ? NumReplicas : Math.Max(1, NumReplicas),
        Floor = Floor,
        MaxOngoingRequests = Goal.MaxOngoingRequests,
        UserConfig = RefusedUserConfig is not null && RefusedUserConfig == Goal.UserConfig ? null : Goal.UserConfig,
        RollingUpdatePercentage = Goal.RollingUpdatePercentage,
        Replaces = Replaces,
        MostSurge = Room.MostSurge,
        MayAdmit = mayAdmit,
        StartNotBefore = Math.Max(_backOff.NotBefore, _crashLoop.NotBefore),
    };

    public ObservedDeployment Observe() => new(
        [.. _replicas.Select(r => new ObservedReplica(r.Replica.Id, r.Replica.State, IsCurrent(r), r.IsReady, r.Replica.Permits.Limit, r.UserConfig, r.CheckAt))],
        Abandoned,
        _replicas.Any(r => r.ScalesDown));

    /// <summary>Takes a new goal. Its limits come into force when the application's restarts have succeeded, the rest is for the planner.</summary>
    public void Take(DeploymentGoal goal, ReplicaCode code, DeploymentDefinition definition)
    {
        DeploymentGoal before = Goal;
        if (goal == before && code == Code)
        {
            return;
        }

        bool onlyScaled = code == Code && goal with { NumReplicas = before.NumReplicas } == before;
        Pursue(goal, code, definition);
        Happened(!onlyScaled ? DeploymentEvent.NewConfig
            : goal.NumReplicas > before.NumReplicas ? DeploymentEvent.ScaledUp
            : DeploymentEvent.ScaledDown);
        Message = onlyScaled ? ScaleMessage(before.NumReplicas, goal.NumReplicas) : string.Empty;
        TellHeldUp();
    }

    /// <summary>Goes back to a goal that was good, and stays as it failed, for everybody to see, until there is a new goal.</summary>
    public void RollBack(DeploymentGoal goal, ReplicaCode code, DeploymentDefinition definition)
    {
        Pursue(goal, code, definition);
        _goodUserConfig = goal.UserConfig;
    }

    /// <summary>As many replicas as the box holds of what is wanted.</summary>
    /// <returns>Whether that changes anything.</returns>
    public bool ScaleTo(int replicas, string? heldBack)
    {
        bool changes = replicas != NumReplicas || heldBack != HeldBack;
        HeldBack = heldBack;
        if (_begins)
        {
            Floor = _restarts ? Math.Max(NumReplicas, replicas) : replicas;
            NumReplicas = replicas;
            _begins = _restarts = false;
        }
        else if (replicas != NumReplicas)
        {
            Happened(replicas > NumReplicas ? DeploymentEvent.AutoscaledUp : DeploymentEvent.AutoscaledDown);
            Message = ScaleMessage(NumReplicas, replicas);
            NumReplicas = replicas;
            Floor = HasOldServing ? Math.Max(Floor, replicas) : replicas;
        }

        TellHeldUp();
        return changes;
    }

    /// <summary>Says so where handlers that hang keep replicas from starting. There is nothing to try again: when enough of them have ended, starts go on.</summary>
    public void TellHeldUp()
    {
        if (IsHeldUp)
        {
            Happened(DeploymentEvent.HealthCheckFails);
            Message = $"{Abandoned} replica(s) were abandoned: requests there ignore their cancellation and hold their threads. No more start until some of these have ended. "
                + "If they never do, only a restart of the server ends them; make the handler listen to its cancellation token.";
        }
    }

    /// <summary>Forgets what has failed: there is reason to think that it will not fail again.</summary>
    public void RetryNow()
    {
        _failures = 0;
        _backOff.Reset();
        _crashLoop.End();
        RefusedUserConfig = null;
    }

    public int LowestFreeRank()
    {
        int rank = 0;
        while (_replicas.Any(r => r.Replica.Rank == rank && !r.HasDied))
        {
            rank++;
        }

        return rank;
    }

    public void Add(ReplicaEntry entry) => _replicas.Add(entry);

    /// <summary>It is worn out: another takes its place.</summary>
    public void WearsOut(ReplicaEntry entry)
    {
        entry.MustGo = true;

        // Those that go are taken from the end: who wears out later comes before it here, and goes after it. Otherwise one could wear on for ever while younger ones are replaced.
        _replicas.Remove(entry);
        _replicas.Insert(0, entry);
    }

    public ReplicaEntry Find(string id) => _replicas.First(r => r.Replica.Id == id);

    /// <summary><see langword="null"/> = it has ended meanwhile.</summary>
    public ReplicaEntry? Find(Replica replica) => _replicas.FirstOrDefault(r => r.Replica == replica);

    public void Remove(Replica replica) => _replicas.RemoveAll(r => r.Replica == replica);

    /// <summary>What is known to fail has failed: no replica of what was good is stopped for it.</summary>
    public void NoteBuild(ServeEnvironment environment)
    {
        if (BuildError is { } error)
        {
            StartFailed(new BuildFailedException(error), [], environment.Time, environment.Random);
        }
    }

    /// <summary>A replica of the wanted code did not come up.</summary>
    public void StartFailed(Exception failure, IReadOnlyList<string> logTail, TimeProvider time, Random random)
    {
        string error = failure.Message;
        LogTail = logTail;
        _failures = failure is BuildFailedException ? Hopeless : _failures + 1;
        _backOff.Failed(HasFailed, time, random);
        if (_failures >= MostFailures)
        {
            Happened(DeploymentEvent.StartFails);
            Message = failure is BuildFailedException ? error : $"The deployment failed to start {_failures} times in a row. This may be due to a problem with its constructor, its user_config or its initial health check. Error: {error}";
        }
        else
        {
            Message = $"A replica failed to start with exception. Retrying {MostFailures - _failures} more time(s). Error: {error}";
        }
    }

    /// <summary>A replica of the wanted code failed its health check too often and is replaced.</summary>
    public void HealthFailed(ReplicaEntry entry, string error, TimeProvider time, Random random)
    {
        _failures++;
        Lost(entry, $"its health check failed {ReplicaEntry.MostStrikes} times in a row, the last time with: {error.TrimEnd('.')}", time, random);
        Message = _crashLoop.Verdict ?? $"A replica's health check failed. This deployment will be UNHEALTHY until the replica recovers or a new deploy happens. Error: {error}";
    }

    /// <summary>A replica of the wanted code has ended by itself.</summary>
    public void ReplicaDied(ReplicaEntry entry, string reason, TimeProvider time, Random random)
    {
        Lost(entry, reason, time, random);
        Message = _crashLoop.Verdict ?? $"A replica ended by itself: {reason}. Another takes its place.";
    }

    /// <summary>A replica of the wanted code has ended by itself while it was handed a <c>user_config</c>.</summary>
    /// <returns>Whether that refuses the value: it is still wanted, and was not good already.</returns>
    public bool DiedOf(ReplicaEntry entry, string reason)
    {
        string userConfig = entry.HandedUserConfig!;
        if (userConfig != Goal.UserConfig || userConfig == _goodUserConfig)
        {
            return false;
        }

        LogTail = entry.Replica.LastLines;
        ConfigRefused(entry, userConfig, wasTaken: true, $"A replica ended by itself as it was handed it: {reason}.");
        return true;
    }

    /// <summary>A replica of the wanted code can work.</summary>
    public void HasProven(ReplicaEntry entry) => _crashLoop.Proven(entry);

    /// <summary>
    /// A running replica refused the goal's <c>user_config</c>: the one before stays. A value that was good already is not to blame, but the replica is: another takes its place.
    /// </summary>
    /// <param name="entry">The replica.</param>
    /// <param name="userConfig">The value.</param>
    /// <param name="wasTaken">The replica has it all the same.</param>
    /// <param name="error">Why not.</param>
    public void ConfigRefused(ReplicaEntry entry, string userConfig, bool wasTaken, string error)
    {
        if (userConfig == _goodUserConfig)
        {
            entry.MustGo = true;
            return;
        }

        // Where there was none before, none can be given back.
        entry.MustGo |= wasTaken && _goodUserConfig is null;

        RefusedUserConfig = userConfig;
        Happened(DeploymentEvent.ConfigRefused);
        Message = $"The new user_config was refused and the one before stays in force. Error: {error}";
    }

    public void Failed(string error)
    {
        Happened(DeploymentEvent.InternalError);
        Message = $"The controller failed while it worked on this deployment, and goes on: {error}. This is a fault of the server; its log has the details.";
    }

    /// <summary>Everything is as wanted. In a crash loop it is so again and again: then one that is up says nothing before it has shown that it can work.</summary>
    public void BecameHealthy()
    {
        if (_replicas.Any(_crashLoop.HangsOn))
        {
            return;
        }

        DeploymentStatus before = Status;
        Happened(DeploymentEvent.BecomesHealthy);
        if (Status != before)
        {
            Message = string.Empty;
            LogTail = [];
        }
    }

    /// <summary>At its goal nothing is held against it any more, and the floor is what is wanted.</summary>
    public void Settled()
    {
        _failures = 0;
        _backOff.Reset();
        Floor = NumReplicas;
        _goodUserConfig = Goal.UserConfig;
    }

    public void Delete() => Happened(DeploymentEvent.Deleted);

    public static DeploymentLimits LimitsOf(DeploymentGoal goal) => new()
    {
        MaxOngoingRequests = goal.MaxOngoingRequests,
        MaxQueuedRequests = goal.MaxQueuedRequests,
        MaxQueueWait = goal.MaxQueueWait,
        MaxWebsockets = goal.MaxWebsockets,
        BackpressureStatusCode = goal.BackpressureStatusCode,
        RetryAfterS = goal.RetryAfterS,
        Retry = goal.Retry,
    };

    private void Pursue(DeploymentGoal goal, ReplicaCode code, DeploymentDefinition definition)
    {
        TakeScale(goal, code != Code);
        Goal = goal;
        Code = code;
        Definition = definition;
        RetryNow();
    }

    /// <summary>What the load asked for stays asked for; <see cref="ScaleTo"/> says how many replicas a new goal begins with.</summary>
    private void TakeScale(DeploymentGoal goal, bool restarts)
    {
        if (goal.Autoscaling is not { } autoscaling)
        {
            Scaler = null;
        }
        else if (Scaler is { } scaler)
        {
            scaler.Take(autoscaling);
        }
        else
        {
            Scaler = new(autoscaling, NumReplicas);
        }

        _begins = true;
        _restarts |= restarts;
    }

    /// <summary>A replica that was up is gone.</summary>
    private void Lost(ReplicaEntry entry, string reason, TimeProvider time, Random random)
    {
        Happened(DeploymentEvent.HealthCheckFails);
        if (!entry.IsProven(time))
        {
            _crashLoop.Crashed(reason, MostFailures, time, random);
        }
        else
        {
            _crashLoop.Proven(entry);
            _crashLoop.StartNow();
            if (_crashLoop.Verdict is not null)
            {
                // What is wrong is how the others end.
                return;
            }
        }

        LogTail = entry.Replica.LastLines;
    }

    private bool IsCurrent(ReplicaEntry entry) => entry.Code == Code && !entry.MustGo;

    private static string ScaleMessage(int before, int after) => $"{(after > before ? "Upscaling" : "Downscaling")} from {before} to {after} replicas.";

    private void Happened(DeploymentEvent happened) => (Status, Trigger) = Statuses.Next(Status, Trigger, happened);
}

/// <summary>How far a deployment is on its way out.</summary>
internal enum Retirement
{
    /// <summary>It is wanted, or it is not yet its turn.</summary>
    None,

    /// <summary>Who waits for it is still served.</summary>
    Waiting,

    /// <summary>Its replicas end; who comes late is refused or sent on.</summary>
    Ending,

    /// <summary>Nothing of it is left.</summary>
    Ended,
}
