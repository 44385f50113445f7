using System.Diagnostics.Metrics;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>The controller's picture as measurements.</summary>
internal sealed class MeasuredStatus(Func<ControllerStatus> status) : IMeasuredStatus
{
    /// <summary>Of all revisions of a deployment together: those that come up and those that go are replicas too.</summary>
    public IEnumerable<Measurement<long>> Replicas
    {
        get
        {
            ControllerStatus now = status();
            return Wanted(now).SelectMany(a => a.Deployments.Concat(a.Beside))
                .Concat(now.Departing)
                .SelectMany(d => d.Replicas.Select(r => (d.Served.Application, Deployment: d.Goal.Name, State: r.State.ToString().ToUpperInvariant())))
                .GroupBy(r => r)
                .Select(g => new Measurement<long>(g.Count(), new DeploymentTags(g.Key.Application, g.Key.Deployment).With(InstrumentNames.StateTag, g.Key.State)));
        }
    }

    public IEnumerable<Measurement<long>> TargetReplicas => Of(d => d.NumReplicas);

    public IEnumerable<Measurement<long>> Deployments => Of(d => d.Status switch
    {
        DeploymentStatus.DeployFailed => 1,
        DeploymentStatus.Unhealthy => 2,
        DeploymentStatus.Updating => 3,
        DeploymentStatus.Upscaling => 4,
        DeploymentStatus.Downscaling => 5,
        DeploymentStatus.Healthy => 6,
        _ => 0,
    });

    public IEnumerable<Measurement<long>> Applications => status().Applications.Select(a => new Measurement<long>(
        a.Status switch
        {
            ApplicationStatus.DeployFailed => 1,
            ApplicationStatus.Unhealthy => 2,
            ApplicationStatus.Deleting => 4,
            ApplicationStatus.Deploying => 5,
            ApplicationStatus.Running => 6,
            _ => 0,
        },
        new KeyValuePair<string, object?>(InstrumentNames.ApplicationTag, a.Name)));

    private static IEnumerable<ApplicationReport> Wanted(ControllerStatus status) => status.Applications.Where(a => a.Status != ApplicationStatus.Deleting);

    private IEnumerable<Measurement<long>> Of(Func<DeploymentReport, long> value) =>
        Wanted(status()).SelectMany(a => a.Deployments.Select(d => new Measurement<long>(value(d), new DeploymentTags(a.Name, d.Goal.Name).All)));
}
