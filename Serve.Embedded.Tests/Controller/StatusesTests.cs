using Serve.Embedded.Controller;
using Serve.Embedded.Tests.Guards;
using static Serve.Embedded.Controller.DeploymentEvent;
using static Serve.Embedded.DeploymentStatus;

namespace Serve.Embedded.Tests.Controller;

public sealed class StatusesTests
{
    /// <summary>The table beside the code, cell by cell: from, event, to and its trigger; no trigger = nothing changes.</summary>
    private static readonly (DeploymentStatus From, DeploymentEvent Event, DeploymentStatus To, StatusTrigger? Trigger)[] Table =
    [
        (Updating, BecomesHealthy, Healthy, StatusTrigger.ConfigUpdateCompleted),
        (Updating, NewConfig, Updating, StatusTrigger.ConfigUpdateStarted),
        (Updating, ScaledUp, Updating, null),
        (Updating, ScaledDown, Updating, null),
        (Updating, StartFails, DeployFailed, StatusTrigger.ReplicaStartupFailed),
        (Updating, ConfigRefused, DeployFailed, StatusTrigger.ConfigUpdateFailed),
        (Upscaling, BecomesHealthy, Healthy, StatusTrigger.UpscaleCompleted),
        (Upscaling, NewConfig, Updating, StatusTrigger.ConfigUpdateStarted),
        (Upscaling, ScaledUp, Upscaling, StatusTrigger.ConfigUpdateStarted),
        (Upscaling, ScaledDown, Downscaling, StatusTrigger.ConfigUpdateStarted),
        (Upscaling, StartFails, Unhealthy, StatusTrigger.ReplicaStartupFailed),
        (Upscaling, ConfigRefused, DeployFailed, StatusTrigger.ConfigUpdateFailed),
        (Downscaling, BecomesHealthy, Healthy, StatusTrigger.DownscaleCompleted),
        (Downscaling, NewConfig, Updating, StatusTrigger.ConfigUpdateStarted),
        (Downscaling, ScaledUp, Upscaling, StatusTrigger.ConfigUpdateStarted),
        (Downscaling, ScaledDown, Downscaling, StatusTrigger.ConfigUpdateStarted),
        (Downscaling, StartFails, Unhealthy, StatusTrigger.ReplicaStartupFailed),
        (Downscaling, ConfigRefused, DeployFailed, StatusTrigger.ConfigUpdateFailed),
        (Healthy, BecomesHealthy, Healthy, null),
        (Healthy, NewConfig, Updating, StatusTrigger.ConfigUpdateStarted),
        (Healthy, ScaledUp, Upscaling, StatusTrigger.ConfigUpdateStarted),
        (Healthy, ScaledDown, Downscaling, StatusTrigger.ConfigUpdateStarted),
        (Healthy, StartFails, Healthy, null),
        (Healthy, ConfigRefused, DeployFailed, StatusTrigger.ConfigUpdateFailed),
        (Unhealthy, BecomesHealthy, Healthy, StatusTrigger.Unspecified),
        (Unhealthy, NewConfig, Updating, StatusTrigger.ConfigUpdateStarted),
        (Unhealthy, ScaledUp, Unhealthy, null),
        (Unhealthy, ScaledDown, Unhealthy, null),
        (Unhealthy, StartFails, Unhealthy, null),
        (Unhealthy, ConfigRefused, DeployFailed, StatusTrigger.ConfigUpdateFailed),
        (DeployFailed, BecomesHealthy, Healthy, StatusTrigger.Unspecified),
        (DeployFailed, NewConfig, Updating, StatusTrigger.ConfigUpdateStarted),
        (DeployFailed, ScaledUp, DeployFailed, null),
        (DeployFailed, ScaledDown, DeployFailed, null),
        (DeployFailed, StartFails, DeployFailed, null),
        (DeployFailed, ConfigRefused, DeployFailed, null),
        (Updating, AutoscaledUp, Upscaling, StatusTrigger.Autoscaling),
        (Updating, AutoscaledDown, Downscaling, StatusTrigger.Autoscaling),
        (Updating, HealthCheckFails, DeployFailed, StatusTrigger.HealthCheckFailed),
        (Updating, InternalError, Unhealthy, StatusTrigger.InternalError),
        (Upscaling, AutoscaledUp, Upscaling, StatusTrigger.Autoscaling),
        (Upscaling, AutoscaledDown, Downscaling, StatusTrigger.Autoscaling),
        (Upscaling, HealthCheckFails, Unhealthy, StatusTrigger.HealthCheckFailed),
        (Upscaling, InternalError, Unhealthy, StatusTrigger.InternalError),
        (Downscaling, AutoscaledUp, Upscaling, StatusTrigger.Autoscaling),
        (Downscaling, AutoscaledDown, Downscaling, StatusTrigger.Autoscaling),
        (Downscaling, HealthCheckFails, Unhealthy, StatusTrigger.HealthCheckFailed),
        (Downscaling, InternalError, Unhealthy, StatusTrigger.InternalError),
        (Healthy, AutoscaledUp, Upscaling, StatusTrigger.Autoscaling),
        (Healthy, AutoscaledDown, Downscaling, StatusTrigger.Autoscaling),
        (Healthy, HealthCheckFails, Unhealthy, StatusTrigger.HealthCheckFailed),
        (Healthy, InternalError, Unhealthy, StatusTrigger.InternalError),
        (Unhealthy, AutoscaledUp, Unhealthy, null),
        (Unhealthy, AutoscaledDown, Unhealthy, null),
        (Unhealthy, HealthCheckFails, Unhealthy, null),
        (Unhealthy, InternalError, Unhealthy, StatusTrigger.InternalError),
        (DeployFailed, AutoscaledUp, DeployFailed, null),
        (DeployFailed, AutoscaledDown, DeployFailed, null),
        (DeployFailed, HealthCheckFails, DeployFailed, null),
        (DeployFailed, InternalError, Unhealthy, StatusTrigger.InternalError),
    ];

    [Fact]
    [ContractRow(48)]
    public void Next_EveryCell_IsAsTheTableSays()
    {
        foreach ((DeploymentStatus from, DeploymentEvent happened, DeploymentStatus to, StatusTrigger? trigger) in Table)
        {
            Assert.Equal((to, trigger ?? StatusTrigger.Deleting), Statuses.Next(from, StatusTrigger.Deleting, happened));
        }

        Assert.Equal(
            Enum.GetValues<DeploymentStatus>().Length * (Enum.GetValues<DeploymentEvent>().Length - 1),
            Table.Select(t => (t.From, t.Event)).Distinct().Count());
    }

    [Fact]
    public void Next_Deleted_IsUpdatingFromAnywhere() =>
        Assert.All(Enum.GetValues<DeploymentStatus>(), from => Assert.Equal((Updating, StatusTrigger.Deleting), Statuses.Next(from, StatusTrigger.Unspecified, Deleted)));

    [Fact]
    [ContractRow(48)]
    public void Of_Application_IsAsItsWorstDeployment()
    {
        Assert.Equal((ApplicationStatus.Running, ""), Of(("a", Healthy)));
        Assert.Equal((ApplicationStatus.Deploying, ""), Of(("a", Healthy), ("b", Upscaling)));
        Assert.Equal((ApplicationStatus.Unhealthy, "The deployments ['c'] are UNHEALTHY."), Of(("a", Updating), ("c", Unhealthy)));
        Assert.Equal((ApplicationStatus.DeployFailed, "Failed to update the deployments ['b', 'd']."), Of(("c", Unhealthy), ("b", DeployFailed), ("d", DeployFailed)));

        static (ApplicationStatus, string) Of(params (string Name, DeploymentStatus Status)[] deployments) =>
            Statuses.Of([.. deployments.Select(d => (d.Name, d.Status, StatusTrigger.ConfigUpdateStarted))]);
    }

    [Fact]
    public void Of_ScalesByLoad_IsRunning() =>
        Assert.Equal((ApplicationStatus.Running, ""), Statuses.Of([("a", Healthy, StatusTrigger.Unspecified), ("b", Upscaling, StatusTrigger.Autoscaling)]));
}
