using System.Diagnostics.Metrics;

namespace Serve.Embedded.Telemetry;

/// <summary>What the controller knows, as measurements.</summary>
internal interface IMeasuredStatus
{
    IEnumerable<Measurement<long>> Replicas { get; }

    IEnumerable<Measurement<long>> TargetReplicas { get; }

    IEnumerable<Measurement<long>> Deployments { get; }

    IEnumerable<Measurement<long>> Applications { get; }
}

/// <summary>What runs and how it is doing; read when somebody asks.</summary>
internal sealed class StatusInstruments
{
    private IMeasuredStatus? _source;

    public StatusInstruments(Meter meter)
    {
        meter.CreateObservableGauge(InstrumentNames.Replicas, () => Source?.Replicas ?? [], "{replica}", "Replicas of a deployment, by state.");
        meter.CreateObservableGauge(InstrumentNames.TargetReplicas, () => Source?.TargetReplicas ?? [], "{replica}", "Replicas that a deployment shall have now.");
        meter.CreateObservableGauge(InstrumentNames.DeploymentStatus, () => Source?.Deployments ?? [], unit: null, "A deployment's status: 1 DEPLOY_FAILED, 2 UNHEALTHY, 3 UPDATING, 4 UPSCALING, 5 DOWNSCALING, 6 HEALTHY.");
        meter.CreateObservableGauge(InstrumentNames.ApplicationStatus, () => Source?.Applications ?? [], unit: null, "An application's status: 1 DEPLOY_FAILED, 2 UNHEALTHY, 4 DELETING, 5 DEPLOYING, 6 RUNNING.");
    }

    /// <summary>Whom to ask; <see langword="null"/> = the server has not started, or has ended.</summary>
    public IMeasuredStatus? Source
    {
        get => Volatile.Read(ref _source);
        set => Volatile.Write(ref _source, value);
    }
}
