using Microsoft.Extensions.Diagnostics.HealthChecks;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>
/// What a load balancer should know of the server: healthy when everything runs as asked, unhealthy when a deployment cannot serve, or not yet, or the server is on its way out, degraded in between.
/// A deployment that its load has brought to zero can serve: whoever asks for it wakes it.
/// </summary>
internal sealed class ServeHealthCheck(ServeHost host) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        HealthCheckResult result = host.IsRunning ? Of(host.Status) : HealthCheckResult.Unhealthy("The server has not started, or has ended.");
        return Task.FromResult(result.Status == HealthStatus.Unhealthy
            ? new(context.Registration.FailureStatus, result.Description, result.Exception, result.Data)
            : result);
    }

    public static HealthCheckResult Of(ServeStatus status)
    {
        Dictionary<string, object> data = new(StringComparer.Ordinal);
        List<string> troubles = [];
        HealthStatus health = HealthStatus.Healthy;
        if (status.IsDraining)
        {
            troubles.Add("The server is on its way out.");
            health = HealthStatus.Unhealthy;
        }

        foreach (ServeApplicationStatus application in status.Applications)
        {
            if (application.Status != ApplicationStatus.Running)
            {
                troubles.Add($"Application '{application.Name}' is {application.Status}.{Sentence(application.Message)}");
                health = Worse(health, HealthStatus.Degraded);
            }

            foreach (ServeDeploymentStatus deployment in application.Deployments)
            {
                data[$"{application.Name}/{deployment.Name}"] =
                    $"{deployment.Status}: {deployment.RunningReplicas} of {deployment.TargetReplicas} replica(s) running.{Sentence(deployment.Message)}";
                if (deployment is { RunningReplicas: 0, Status: DeploymentStatus.Unhealthy or DeploymentStatus.DeployFailed } or { RunningReplicas: 0, TargetReplicas: > 0, Status: DeploymentStatus.Updating })
                {
                    troubles.Add($"Deployment '{deployment.Name}' of application '{application.Name}' has no replica{(deployment.Status == DeploymentStatus.Updating ? " yet" : "")}.{Sentence(deployment.Message)}");
                    health = HealthStatus.Unhealthy;
                }
            }
        }

        return new(health, troubles.Count == 0 ? "Everything runs as asked." : Sentences.Join(troubles), exception: null, data);
    }

    private static string Sentence(string message) => message.Length == 0 ? "" : $" {message}";

    private static HealthStatus Worse(HealthStatus one, HealthStatus other) => one < other ? one : other;
}
