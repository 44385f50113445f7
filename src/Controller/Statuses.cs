namespace Serve.Embedded.Controller;

/// <summary>What caused a status: a status alone never explains itself.</summary>
internal enum StatusTrigger
{
    Unspecified,
    ConfigUpdateStarted,
    ConfigUpdateCompleted,
    UpscaleCompleted,
    DownscaleCompleted,
    Autoscaling,
    ReplicaStartupFailed,
    HealthCheckFailed,

    /// <summary>Ours: a running replica refused a new <c>user_config</c>.</summary>
    ConfigUpdateFailed,
    InternalError,
    Deleting,
}

/// <summary>What can happen to a deployment.</summary>
internal enum DeploymentEvent
{
    BecomesHealthy,
    NewConfig,
    ScaledUp,
    ScaledDown,
    AutoscaledUp,
    AutoscaledDown,

    /// <summary>Starts of the wanted version have failed too often.</summary>
    StartFails,

    /// <summary>A replica of the wanted version failed its health check too often.</summary>
    HealthCheckFails,
    ConfigRefused,
    InternalError,
    Deleted,
}

/// <summary>The status tables of Ray Serve, with one event of our own: a refused <c>user_config</c>.</summary>
/// <remarks>
/// <code>
/// from \ event      becomes healthy                 new config  scaled by hand            scaled by load            start fails              health check fails      config refused
/// Updating          Healthy/ConfigUpdateCompleted   Updating    -                         Up-/Downscaling           DeployFailed             DeployFailed            DeployFailed
/// Upscaling         Healthy/UpscaleCompleted        Updating    switches direction        switches direction        Unhealthy                Unhealthy               DeployFailed
/// Downscaling       Healthy/DownscaleCompleted      Updating    switches direction        switches direction        Unhealthy                Unhealthy               DeployFailed
/// Healthy           -                               Updating    Up-/Downscaling           Up-/Downscaling           -                        Unhealthy               DeployFailed
/// Unhealthy         Healthy/Unspecified             Updating    -                         -                         -                        -                       DeployFailed
/// DeployFailed      Healthy/Unspecified             Updating    -                         -                         -                        -                       -
/// </code>
/// Triggers: a new config and scaling by hand ConfigUpdateStarted, scaling by load Autoscaling, the failures their own. From any: deleted -> Updating/Deleting,
/// internal error -> Unhealthy/InternalError. A blank is no change. The controller does not tell a deployment whose application was rolled back that it
/// is healthy, so that the failure stays to be seen until the next config.
/// </remarks>
internal static class Statuses
{
    public static (DeploymentStatus Status, StatusTrigger Trigger) Next(DeploymentStatus status, StatusTrigger trigger, DeploymentEvent happened) =>
        (status, happened) switch
        {
            (_, DeploymentEvent.Deleted) => (DeploymentStatus.Updating, StatusTrigger.Deleting),
            (_, DeploymentEvent.InternalError) => (DeploymentStatus.Unhealthy, StatusTrigger.InternalError),
            (_, DeploymentEvent.NewConfig) => (DeploymentStatus.Updating, StatusTrigger.ConfigUpdateStarted),
            (DeploymentStatus.DeployFailed, DeploymentEvent.ConfigRefused) => (status, trigger),
            (_, DeploymentEvent.ConfigRefused) => (DeploymentStatus.DeployFailed, StatusTrigger.ConfigUpdateFailed),
            (DeploymentStatus.Updating, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.ConfigUpdateCompleted),
            (DeploymentStatus.Upscaling, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.UpscaleCompleted),
            (DeploymentStatus.Downscaling, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.DownscaleCompleted),
            (DeploymentStatus.Unhealthy or DeploymentStatus.DeployFailed, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.Unspecified),
            (DeploymentStatus.Healthy or DeploymentStatus.Upscaling or DeploymentStatus.Downscaling, DeploymentEvent.ScaledUp) => (DeploymentStatus.Upscaling, StatusTrigger.ConfigUpdateStarted),
            (DeploymentStatus.Healthy or DeploymentStatus.Upscaling or DeploymentStatus.Downscaling, DeploymentEvent.ScaledDown) => (DeploymentStatus.Downscaling, StatusTrigger.ConfigUpdateStarted),
            (not (DeploymentStatus.Unhealthy or DeploymentStatus.DeployFailed), DeploymentEvent.AutoscaledUp) => (DeploymentStatus.Upscaling, StatusTrigger.Autoscaling),
            (not (DeploymentStatus.Unhealthy or DeploymentStatus.DeployFailed), DeploymentEvent.AutoscaledDown) => (DeploymentStatus.Downscaling, StatusTrigger.Autoscaling),
            (DeploymentStatus.Updating, DeploymentEvent.StartFails) => (DeploymentStatus.DeployFailed, StatusTrigger.ReplicaStartupFailed),
            (DeploymentStatus.Upscaling or DeploymentStatus.Downscaling, DeploymentEvent.StartFails) => (DeploymentStatus.Unhealthy, StatusTrigger.ReplicaStartupFailed),
            (DeploymentStatus.Updating, DeploymentEvent.HealthCheckFails) => (DeploymentStatus.DeployFailed, StatusTrigger.HealthCheckFailed),
            (DeploymentStatus.Upscaling or DeploymentStatus.Downscaling or DeploymentStatus.Healthy, DeploymentEvent.HealthCheckFails) => (DeploymentStatus.Unhealthy, StatusTrigger.HealthCheckFailed),
            _ => (status, trigger),
        };

    /// <summary>An application is as its worst deployment; scaling by load is business as usual.</summary>
    public static (ApplicationStatus Status, string Message) Of(IReadOnlyCollection<(string Name, DeploymentStatus Status, StatusTrigger Trigger)> deployments)
    {
        if (Named(DeploymentStatus.DeployFailed) is { Length: > 0 } failed)
        {
            return (ApplicationStatus.DeployFailed, $"Failed to update the deployments [{failed}].");
        }

        if (Named(DeploymentStatus.Unhealthy) is { Length: > 0 } unhealthy)
        {
            return (ApplicationStatus.Unhealthy, $"The deployments [{unhealthy}] are UNHEALTHY.");
        }

        bool settled = deployments.All(d =>
            d.Status == DeploymentStatus.Healthy ||
            (d.Status is DeploymentStatus.Upscaling or DeploymentStatus.Downscaling && d.Trigger == StatusTrigger.Autoscaling));
        return (settled ? ApplicationStatus.Running : ApplicationStatus.Deploying, string.Empty);

        string Named(DeploymentStatus status) => string.Join(", ", deployments.Where(d => d.Status == status).Select(d => $"'{d.Name}'"));
    }
}
