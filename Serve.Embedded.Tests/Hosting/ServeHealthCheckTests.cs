using Microsoft.Extensions.Diagnostics.HealthChecks;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Tests.Hosting;

public sealed class ServeHealthCheckTests
{
    public static TheoryData<HealthStatus, ApplicationStatus, DeploymentStatus, int> Cases { get; } = new()
    {
        { HealthStatus.Healthy, ApplicationStatus.Running, DeploymentStatus.Healthy, 2 },
        { HealthStatus.Healthy, ApplicationStatus.Running, DeploymentStatus.Healthy, 0 },
        { HealthStatus.Healthy, ApplicationStatus.Running, DeploymentStatus.Upscaling, 1 },
        { HealthStatus.Degraded, ApplicationStatus.Deploying, DeploymentStatus.Updating, 1 },
        { HealthStatus.Unhealthy, ApplicationStatus.Deploying, DeploymentStatus.Updating, 0 },
        { HealthStatus.Healthy, ApplicationStatus.Running, DeploymentStatus.Upscaling, 0 },
        { HealthStatus.Degraded, ApplicationStatus.Unhealthy, DeploymentStatus.Unhealthy, 1 },
        { HealthStatus.Degraded, ApplicationStatus.DeployFailed, DeploymentStatus.DeployFailed, 2 },
        { HealthStatus.Unhealthy, ApplicationStatus.Unhealthy, DeploymentStatus.Unhealthy, 0 },
        { HealthStatus.Unhealthy, ApplicationStatus.DeployFailed, DeploymentStatus.DeployFailed, 0 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Of_OneDeployment_IsAsItServes(HealthStatus expected, ApplicationStatus application, DeploymentStatus deployment, int running)
    {
        HealthCheckResult result = ServeHealthCheck.Of(Status(application, deployment, running));

        Assert.Equal(expected, result.Status);
        Assert.Equal($"{deployment}: {running} of 2 replica(s) running. So it is.", result.Data["app/Model"]);
    }

    [Fact]
    public void Of_Draining_IsUnhealthy() =>
        Assert.Equal(HealthStatus.Unhealthy, ServeHealthCheck.Of(Status(ApplicationStatus.Running, DeploymentStatus.Healthy, 2) with { IsDraining = true }).Status);

    [Fact]
    public void Of_SeveralTroubles_NamesEach()
    {
        ServeStatus status = Status(ApplicationStatus.DeployFailed, DeploymentStatus.DeployFailed, 0);

        HealthCheckResult result = ServeHealthCheck.Of(status with { Applications = [.. status.Applications, status.Applications[0] with { Name = "other", Status = ApplicationStatus.Deploying, Deployments = [] }] });

        Assert.Equal(
            "Application 'app' is DeployFailed. Oh. Deployment 'Model' of application 'app' has no replica. So it is. Application 'other' is Deploying. Oh.", result.Description);
    }

    private static ServeStatus Status(ApplicationStatus application, DeploymentStatus deployment, int running) =>
        new([new("app", "/", application, "Oh.", [new("Model", deployment, "So it is.", 2, running, 0, 0)])], IsDraining: false);
}
