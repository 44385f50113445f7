namespace Serve.Embedded.Controller;

/// <summary>
/// One application as it runs, with three goals kept apart: what the operator wants, what is being pursued, and what was last good. A change that fails goes back to the
/// last good goal, and what is wanted stays known, so that it is not tried again until it changes.
/// </summary>
internal sealed class ApplicationState(ApplicationGoal goal, Revision serving, DateTimeOffset deployedAt)
{
    public string Name => Goal.Name;

    /// <summary>What the operator asked for last.</summary>
    public ApplicationGoal Wanted { get; private set; } = goal;

    /// <summary>What is being pursued.</summary>
    public ApplicationGoal Goal { get; private set; } = goal;

    /// <summary>The last goal that was reached; <see langword="null"/> = none was.</summary>
    public ApplicationGoal? Good { get; private set; }

    /// <summary>Whose limits, timeouts and prefix apply: while replicas restart, those of the last good goal.</summary>
    public ApplicationGoal InForce { get; set; } = goal;

    public Revision Serving { get; set; } = serving;

    /// <summary>On its way up beside the one that serves; <see langword="null"/> when none is.</summary>
    public Revision? Coming { get; set; }

    /// <summary>Deployments that the goal no longer has.</summary>
    public List<DeploymentState> Leaving { get; } = [];

    /// <summary>Why what is wanted is not what runs; <see langword="null"/> = it was not given up.</summary>
    public string? Failure { get; private set; }

    public DateTimeOffset DeployedAt { get; set; } = deployedAt;

    /// <summary>New replicas may be given requests: the first ones of every changed deployment came up.</summary>
    public bool MayAdmit { get; set; }

    /// <summary>Something has happened to it since it was last looked at.</summary>
    public bool IsDirty { get; set; } = true;

    /// <summary>When to look at it although nothing has happened; a timestamp.</summary>
    public long LookAgainAt { get; set; } = long.MaxValue;

    /// <summary>What is published and reported of it, made anew after each look.</summary>
    public ApplicationReport? Report { get; set; }

    public bool IsAtGoal => Coming is null && !Goal.IsBuilding && Serving.IsAtGoal;

    /// <summary>The pursued goal is reached, or has failed with nothing to go back to.</summary>
    public bool IsSettled => IsAtGoal || (Coming is null && Serving.HasFailed);

    /// <summary>The goal failed, and another one was good: back to it.</summary>
    public bool MustRollBack => Good is not null && Good != Goal && (Coming ?? Serving).Deployments.Any(CausesRollback);

    public void Want(ApplicationGoal goal, DateTimeOffset now)
    {
        Wanted = goal;
        Goal = goal;
        Failure = null;
        DeployedAt = now;
        MayAdmit = false;
        IsDirty = true;
    }

    public void RollBack(string failure)
    {
        Goal = Good!;
        Failure = failure;
        MayAdmit = false;
        IsDirty = true;
    }

    /// <summary>Goes back to where it was although it has not failed itself.</summary>
    public void Undo(ApplicationGoal before, string failure)
    {
        Good = before;
        RollBack(failure);
    }

    public void Reached() => Good = Goal;

    /// <summary>More replicas of what is good already that do not come up are no reason to go back: their code and configuration are the same.</summary>
    private bool CausesRollback(DeploymentState deployment)
    {
        DeploymentGoal? good = Good!.Deployments.FirstOrDefault(d => d.Name == deployment.Name);
        return deployment.HasFailed && (Goal.Code != Good.Code || good is null || good.Worker != deployment.Goal.Worker || good.UserConfig != deployment.Goal.UserConfig);
    }
}
