namespace Serve.Embedded.Controller;

/// <summary>A deployment's status, in Ray Serve's words.</summary>
internal enum DeploymentStatus
{
    Updating,
    Healthy,
    Unhealthy,
    DeployFailed,
    Upscaling,
    Downscaling,
}

/// <summary>What caused a status: a status alone never explains itself.</summary>
internal enum StatusTrigger
{
    Unspecified,
    ConfigUpdateStarted,
    ConfigUpdateCompleted,
    UpscaleCompleted,
    DownscaleCompleted,
    ReplicaStartupFailed,
    ConfigUpdateFailed,
    Deleting,
}

/// <summary>What can happen to a deployment.</summary>
internal enum DeploymentEvent
{
    BecomesHealthy,
    NewConfig,
    ScaledUp,
    ScaledDown,
    StartFails,
    ConfigRefused,
    Deleted,
}

/// <summary>An application's status, in Ray Serve's words.</summary>
internal enum ApplicationStatus
{
    Deploying,
    Running,
    DeployFailed,
    Unhealthy,
    Deleting,
}

/// <summary>The status tables of Ray Serve, as far as this server has their events.</summary>
/// <remarks>
/// <code>
/// from \ event      becomes healthy                 new config  scaled up/down by hand   start fails      config refused
/// Updating          Healthy/ConfigUpdateCompleted   Updating    no change                DeployFailed     DeployFailed
/// Upscaling         Healthy/UpscaleCompleted        Updating    switches direction       Unhealthy        DeployFailed
/// Downscaling       Healthy/DownscaleCompleted      Updating    switches direction       Unhealthy        DeployFailed
/// Healthy           no change                       Updating    Upscaling/Downscaling    no change        DeployFailed
/// Unhealthy         Healthy/Unspecified             Updating    no change                no change        DeployFailed
/// DeployFailed      no change while the refused     Updating    no change                no change        no change
///                   config is the reason, else
///                   Healthy/Unspecified
/// </code>
/// From any: deleted -> Updating/Deleting.
/// </remarks>
internal static class Statuses
{
    public static (DeploymentStatus Status, StatusTrigger Trigger) Next(DeploymentStatus status, StatusTrigger trigger, DeploymentEvent happened) =>
        (status, happened) switch
        {
            (_, DeploymentEvent.Deleted) => (DeploymentStatus.Updating, StatusTrigger.Deleting),
            (_, DeploymentEvent.NewConfig) => (DeploymentStatus.Updating, StatusTrigger.ConfigUpdateStarted),
            (DeploymentStatus.DeployFailed, DeploymentEvent.ConfigRefused) => (status, trigger),
            (_, DeploymentEvent.ConfigRefused) => (DeploymentStatus.DeployFailed, StatusTrigger.ConfigUpdateFailed),
            (DeploymentStatus.Updating, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.ConfigUpdateCompleted),
            (DeploymentStatus.Upscaling, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.UpscaleCompleted),
            (DeploymentStatus.Downscaling, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.DownscaleCompleted),
            (DeploymentStatus.Unhealthy, DeploymentEvent.BecomesHealthy) => (DeploymentStatus.Healthy, StatusTrigger.Unspecified),
            (DeploymentStatus.DeployFailed, DeploymentEvent.BecomesHealthy) when trigger != StatusTrigger.ConfigUpdateFailed => (DeploymentStatus.Healthy, StatusTrigger.Unspecified),
            (DeploymentStatus.Healthy or DeploymentStatus.Downscaling or DeploymentStatus.Upscaling, DeploymentEvent.ScaledUp) => (DeploymentStatus.Upscaling, StatusTrigger.ConfigUpdateStarted),
            (DeploymentStatus.Healthy or DeploymentStatus.Upscaling or DeploymentStatus.Downscaling, DeploymentEvent.ScaledDown) => (DeploymentStatus.Downscaling, StatusTrigger.ConfigUpdateStarted),
            (DeploymentStatus.Updating, DeploymentEvent.StartFails) => (DeploymentStatus.DeployFailed, StatusTrigger.ReplicaStartupFailed),
            (DeploymentStatus.Upscaling or DeploymentStatus.Downscaling, DeploymentEvent.StartFails) => (DeploymentStatus.Unhealthy, StatusTrigger.ReplicaStartupFailed),
            _ => (status, trigger),
        };

    /// <summary>An application is as its worst deployment.</summary>
    public static (ApplicationStatus Status, string Message) Of(IReadOnlyCollection<(string Name, DeploymentStatus Status)> deployments)
    {
        if (Named(DeploymentStatus.DeployFailed) is { Length: > 0 } failed)
        {
            return (ApplicationStatus.DeployFailed, $"Failed to update the deployments [{failed}].");
        }

        if (Named(DeploymentStatus.Unhealthy) is { Length: > 0 } unhealthy)
        {
            return (ApplicationStatus.Unhealthy, $"The deployments [{unhealthy}] are UNHEALTHY.");
        }

        return (deployments.All(d => d.Status == DeploymentStatus.Healthy) ? ApplicationStatus.Running : ApplicationStatus.Deploying, string.Empty);

        string Named(DeploymentStatus status) => string.Join(", ", deployments.Where(d => d.Status == status).Select(d => $"'{d.Name}'"));
    }
}
