using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Serve.Embedded.Hosting;

namespace Serve.Embedded;

/// <summary>Adds the server to an application's health checks.</summary>
public static class ServeHealthChecksBuilderExtensions
{
    /// <summary>
    /// Adds a check of the server that <c>AddServe</c> has added. Healthy: every application runs as asked. Degraded: one is being deployed, or has failed and what was good before serves on, or has
    /// fewer replicas than it should. Unhealthy: a deployment has no replica, since it has failed or has not come up yet, or the server is on its way out, or has not started. The data have a line for each deployment, by <c>application/deployment</c>.
    /// </summary>
    /// <param name="builder">The application's health checks.</param>
    /// <param name="name">The check's name. Default <c>serve</c>.</param>
    /// <param name="failureStatus">What to report instead of unhealthy; <see langword="null"/> (default) = unhealthy.</param>
    /// <param name="tags">For filters; <see langword="null"/> (default) = none.</param>
    public static IHealthChecksBuilder AddServe(this IHealthChecksBuilder builder, string name = "serve", HealthStatus? failureStatus = null, IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Add(new(name, services => new ServeHealthCheck(services.GetRequiredService<ServeHost>()), failureStatus, tags));
    }
}
