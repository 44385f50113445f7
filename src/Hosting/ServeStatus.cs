using Serve.Embedded.Controller;
using Serve.Embedded.Hosting;

namespace Serve.Embedded;

/// <summary>What a server runs and how that is doing, at one instant.</summary>
/// <param name="Applications">In the order of the configuration; those that are on their way out come last.</param>
/// <param name="IsDraining">It is on its way out.</param>
public sealed record ServeStatus(IReadOnlyList<ServeApplicationStatus> Applications, bool IsDraining)
{
    internal static ServeStatus None { get; } = new([], IsDraining: false);

    internal static ServeStatus Of(Server server) => new([.. server.Status.Applications.Select(ServeApplicationStatus.Of)], server.IsDraining);
}

/// <summary>How one application is doing.</summary>
/// <param name="Name">Its name.</param>
/// <param name="RoutePrefix">Where it answers; <see langword="null"/> = it is not exposed.</param>
/// <param name="Status">In one word.</param>
/// <param name="Message">In more words; may be empty.</param>
/// <param name="Deployments">In the order in which code adds them; on their way out, callers before those they call.</param>
public sealed record ServeApplicationStatus(string Name, string? RoutePrefix, ApplicationStatus Status, string Message, IReadOnlyList<ServeDeploymentStatus> Deployments)
{
    internal static ServeApplicationStatus Of(ApplicationReport report) =>
        new(report.Name, report.RoutePrefix, report.Status, report.Message, [.. report.Deployments.Select(ServeDeploymentStatus.Of)]);
}

/// <summary>How one deployment is doing.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Status">In one word.</param>
/// <param name="Message">In more words; may be empty.</param>
/// <param name="TargetReplicas">Replicas that it shall have now.</param>
/// <param name="RunningReplicas">Replicas that take requests.</param>
/// <param name="OngoingRequests">Requests that replicas work on.</param>
/// <param name="QueuedRequests">Requests that wait, in all handles.</param>
public sealed record ServeDeploymentStatus(
    string Name, DeploymentStatus Status, string Message, int TargetReplicas, int RunningReplicas, int OngoingRequests, int QueuedRequests)
{
    internal static ServeDeploymentStatus Of(DeploymentReport report) => new(
        report.Goal.Name,
        report.Status,
        report.Message,
        report.NumReplicas,
        report.Served.Gate.Replicas.Length,
        report.Replicas.Sum(r => r.Permits.Ongoing),
        report.Served.Gate.InOrder);
}
