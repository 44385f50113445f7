using Serve.Embedded.Config;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>What runs and how it is doing: an immutable picture that the loop publishes after every change.</summary>
internal sealed record ControllerStatus(IReadOnlyList<ApplicationReport> Applications)
{
    public static ControllerStatus Empty { get; } = new([]);

    /// <summary>Deployments of applications that are on their way out.</summary>
    public IReadOnlyList<DeploymentReport> Departing { get; init; } = [];

    /// <summary>What all replicas together may take, and what those that there shall be take; <see langword="null"/> = it has not been shared yet.</summary>
    public BoxReport? Box { get; init; }
}

/// <param name="Limit">What there is; <see cref="long.MaxValue"/> = no limit.</param>
/// <param name="Taken">By what deployments declare of their replicas; a rollout may take one more for a while.</param>
internal sealed record BoxReport(BoxUse Limit, BoxUse Taken);

/// <param name="Name">Its name.</param>
/// <param name="RoutePrefix">The one in force; <see langword="null"/> = not exposed.</param>
/// <param name="ImportPath">The code that is pursued.</param>
/// <param name="Status">How it is doing.</param>
/// <param name="Message">In words; may be empty.</param>
/// <param name="DeployedAt">When it was last asked for.</param>
/// <param name="Running">What was written for what is pursued: after a rollback, the last good.</param>
/// <param name="Deployments">In the goal's order.</param>
internal sealed record ApplicationReport(
    string Name,
    string? RoutePrefix,
    string ImportPath,
    ApplicationStatus Status,
    string Message,
    DateTimeOffset DeployedAt,
    ApplicationConfig? Running,
    IReadOnlyList<DeploymentReport> Deployments)
{
    /// <summary>Beside those: of a revision on its way up, and what is on its way out.</summary>
    public IReadOnlyList<DeploymentReport> Beside { get; init; } = [];
}

/// <param name="Goal">As it shall be.</param>
/// <param name="NumReplicas">Replicas that it shall have now: what the goal or the load asks for, as far as the box holds it.</param>
/// <param name="HeldBack">Why these are fewer than it wants; <see langword="null"/> = they are not.</param>
/// <param name="Status">How it is doing.</param>
/// <param name="Trigger">What caused the status.</param>
/// <param name="Message">In words; may be empty.</param>
/// <param name="LogTail">The last log lines of the replica that failed last.</param>
/// <param name="Abandoned">Replicas whose handlers would not end.</param>
/// <param name="Restarts">Replicas that another had to take the place of, since the deployment is there.</param>
/// <param name="Served">For the counts of this instant.</param>
/// <param name="Replicas">All that have not ended.</param>
internal sealed record DeploymentReport(
    DeploymentGoal Goal,
    int NumReplicas,
    string? HeldBack,
    DeploymentStatus Status,
    StatusTrigger Trigger,
    string Message,
    IReadOnlyList<string> LogTail,
    int Abandoned,
    int Restarts,
    ServedDeployment Served,
    IReadOnlyList<Replica> Replicas);
