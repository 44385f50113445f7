using System.Diagnostics.Metrics;

namespace Serve.Embedded.Telemetry;

/// <summary>What the controller knows, as measurements.</summary>
internal interface IMeasuredStatus
{
    IEnumerable<Measurement<long>> Replicas { get; }

    IEnumerable<Measurement<long>> HealthyReplicas { get; }

    IEnumerable<Measurement<long>> ReplicaMemory { get; }

    IEnumerable<Measurement<long>> TargetReplicas { get; }

    IEnumerable<Measurement<long>> MaxOngoing { get; }

    IEnumerable<Measurement<long>> MaxQueued { get; }

    IEnumerable<Measurement<long>> Deployments { get; }

    IEnumerable<Measurement<long>> Applications { get; }
}

/// <summary>What runs and how it is doing; read when somebody asks.</summary>
internal sealed class StatusInstruments
{
    private IMeasuredStatus? _source;

    public StatusInstruments(MetricFamilies families)
    {
        families.Gauge(InstrumentNames.Replicas, "{replica}", "Replicas of a deployment, by state.", () => Source?.Replicas ?? []);
        families.Gauge(InstrumentNames.HealthyReplicas, unit: null, "1 for each replica that takes requests, 0 for each other one.", () => Source?.HealthyReplicas ?? []);
        families.Gauge(InstrumentNames.ReplicaMemory, "By", "Memory of a worker's process that is in RAM, without that of its own children.", () => Source?.ReplicaMemory ?? []);
        families.Gauge(InstrumentNames.TargetReplicas, "{replica}", "Replicas that a deployment shall have now.", () => Source?.TargetReplicas ?? []);
        families.Gauge(InstrumentNames.MaxOngoing, "{request}", "Requests that each replica of a deployment may work on at the same time.", () => Source?.MaxOngoing ?? []);
        families.Gauge(InstrumentNames.MaxQueued, "{request}", "Requests that may wait for a deployment, for each of its callers; -1 = no limit.", () => Source?.MaxQueued ?? []);
        families.Gauge(InstrumentNames.DeploymentStatus, unit: null, "A deployment's status: 1 DEPLOY_FAILED, 2 UNHEALTHY, 3 UPDATING, 4 UPSCALING, 5 DOWNSCALING, 6 HEALTHY.", () => Source?.Deployments ?? []);
        families.Gauge(InstrumentNames.ApplicationStatus, unit: null, "An application's status: 1 DEPLOY_FAILED, 2 UNHEALTHY, 4 DELETING, 5 DEPLOYING, 6 RUNNING.", () => Source?.Applications ?? []);
    }

    /// <summary>Whom to ask; <see langword="null"/> = the server has not started, or has ended.</summary>
    public IMeasuredStatus? Source
    {
        get => Volatile.Read(ref _source);
        set => Volatile.Write(ref _source, value);
    }
}
