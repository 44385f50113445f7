using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>What runs and how it is doing: an immutable picture that the loop publishes after every change.</summary>
internal sealed record ControllerStatus(IReadOnlyList<ApplicationReport> Applications)
{
    public static ControllerStatus Empty { get; } = new([]);
}

internal sealed record ApplicationReport(
    string Name,
    string? RoutePrefix,
    string ImportPath,
    ApplicationStatus Status,
    string Message,
    DateTimeOffset DeployedAt,
    IReadOnlyList<DeploymentReport> Deployments);

/// <param name="Goal">As it shall be.</param>
/// <param name="Status">How it is doing.</param>
/// <param name="Trigger">What caused the status.</param>
/// <param name="Message">In words; may be empty.</param>
/// <param name="LogTail">The last log lines of the replica that failed last.</param>
/// <param name="Served">For the counts of this instant.</param>
/// <param name="Replicas">All that have not ended.</param>
internal sealed record DeploymentReport(
    DeploymentGoal Goal,
    DeploymentStatus Status,
    StatusTrigger Trigger,
    string Message,
    IReadOnlyList<string> LogTail,
    ServedDeployment Served,
    IReadOnlyList<Replica> Replicas);
