using System.Diagnostics.Metrics;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>The controller's picture as measurements.</summary>
internal sealed class MeasuredStatus(Func<ControllerStatus> status) : IMeasuredStatus
{
    /// <summary>Those that a replica which has not ended may be in.</summary>
    private static readonly ReplicaState[] States = [ReplicaState.Starting, ReplicaState.Running, ReplicaState.Updating, ReplicaState.Draining, ReplicaState.Abandoned];

    /// <summary>
    /// Of all revisions of a deployment together: those that come up and those that go are replicas too. Every state is there, also with none, so that "none runs" can be asked for.
    /// </summary>
    public IEnumerable<Measurement<long>> Replicas => All().GroupBy(d => (d.Served.Application, d.Goal.Name)).SelectMany(deployment =>
    {
        DeploymentTags tags = new(deployment.Key.Application, deployment.Key.Name);
        return States.Select(state => new Measurement<long>(
            deployment.Sum(d => state == ReplicaState.Abandoned ? d.Abandoned : d.Replicas.Count(r => r.State == state)),
            tags.With(InstrumentNames.StateTag, state.ToString().ToUpperInvariant())));
    });

    public IEnumerable<Measurement<long>> HealthyReplicas => OfReplicas(r => r.State.TakesRequests() ? 1 : 0);

    public IEnumerable<Measurement<long>> ReplicaMemory => OfReplicas(r => r.Process?.ResidentBytes);

    public IEnumerable<Measurement<long>> TargetReplicas => Of(d => d.NumReplicas);

    public IEnumerable<Measurement<long>> MaxOngoing => Of(d => d.Served.Limits.MaxOngoingRequests);

    public IEnumerable<Measurement<long>> MaxQueued => Of(d => d.Served.Limits.MaxQueuedRequests);

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

    /// <summary>One that was deployed again while it was on its way out is not on its way out.</summary>
    public IEnumerable<Measurement<long>> Applications => status().Applications.OrderBy(a => a.Status == ApplicationStatus.Deleting).DistinctBy(a => a.Name).Select(a => new Measurement<long>(
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

    private IEnumerable<DeploymentReport> All()
    {
        ControllerStatus now = status();
        return Wanted(now).SelectMany(a => a.Deployments.Concat(a.Beside)).Concat(now.Departing);
    }

    private IEnumerable<Measurement<long>> Of(Func<DeploymentReport, long> value) =>
        Wanted(status()).SelectMany(a => a.Deployments.Select(d => new Measurement<long>(value(d), d.Served.Measures.Tags.All)));

    private IEnumerable<Measurement<long>> OfReplicas(Func<Replica, long?> value)
    {
        foreach (DeploymentReport deployment in All())
        {
            foreach (Replica replica in deployment.Replicas)
            {
                if (value(replica) is { } measured)
                {
                    yield return new(measured, deployment.Served.Measures.Tags.With(InstrumentNames.ReplicaTag, replica.Id));
                }
            }
        }
    }
}
