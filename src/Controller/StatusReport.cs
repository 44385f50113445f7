using Serve.Embedded.Handles;

namespace Serve.Embedded.Controller;

/// <summary>What others see of the controller's state: pictures that do not change.</summary>
internal static class StatusReport
{
    public static ServedApplication ServedOf(ApplicationState application, string? routePrefix) => new(
        application.Name,
        routePrefix,
        application.Serving.Ingress.Served,
        application.Serving.Handle,
        application.InForce.RequestTimeout,
        application.InForce.StreamTimeout,
        application.Serving.Ingress.IsStarting || application.Serving.Ingress.IsAsleep || application.Goal.IsBuilding)
    {
        Deployments = [.. application.Serving.Deployments.Select(d => d.Served)],
    };

    public static ApplicationReport Of(ApplicationState application)
    {
        (ApplicationStatus status, string message) = Statuses.Of([.. application.Serving.Deployments.Select(d => (d.Name, d.Status, d.Trigger))]);
        if (application.Failure is { } failure)
        {
            (status, message) = (ApplicationStatus.DeployFailed, failure);
        }
        else if (application.Coming is not null)
        {
            status = ApplicationStatus.Deploying;
        }
        else if (application.Goal.IsBuilding)
        {
            (status, message) = (ApplicationStatus.Deploying, $"{application.Goal.Code} is being imported. Requests wait meanwhile.");
        }

        return new(
            application.Name,
            application.InForce.RoutePrefix,
            application.Goal.Code.ToString(),
            status,
            message,
            application.DeployedAt,
            application.Goal.Written,
            [.. application.Serving.Deployments.Select(Of)])
        {
            Beside = [.. application.Leaving.Concat(application.Coming?.Deployments ?? []).Select(Of)],
        };
    }

    public static ApplicationReport Of(Departure departure) => new(
        departure.Application,
        RoutePrefix: null,
        departure.Deployments[0].Code.Application.ToString(),
        ApplicationStatus.Deleting,
        "It finishes what it has admitted.",
        DeployedAt: default,
        Running: null,
        [.. departure.Deployments.Select(Of)]);

    public static DeploymentReport Of(DeploymentState deployment) =>
        new(deployment.Goal, deployment.NumReplicas, deployment.HeldBack, deployment.Status, deployment.Trigger, deployment.Message, deployment.LogTail, deployment.Abandoned, deployment.Restarts, deployment.Served, [.. deployment.Replicas.Select(r => r.Replica)]);
}
