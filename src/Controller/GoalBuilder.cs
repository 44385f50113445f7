using Serve.Embedded.Config;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Controller;

/// <summary>Lays what the operator wrote over what the code declares. An override that is taken out of the file brings the code's value back.</summary>
internal static class GoalBuilder
{
    public static IReadOnlyList<ApplicationGoal> Build(ServeConfig config, DeploymentRegistry registry) =>
        [.. config.Applications.Select(a => Build(a, config.Http, registry.Applications[a.ImportPath]))];

    private static ApplicationGoal Build(ApplicationConfig written, HttpOptionsConfig http, ApplicationDefinition code) => new()
    {
        Name = written.Name,
        Code = new(written.ImportPath, written.Args),
        RoutePrefix = written.RoutePrefix,
        RequestTimeout = (written.RequestTimeout ?? http.RequestTimeout) is { Ticks: > 0 } timeout ? timeout : null,
        StreamTimeout = http.StreamTimeout,
        Written = written,
        Deployments = [.. code.Deployments.Select(d => Build(written.Deployments.FirstOrDefault(w => w.Name == d.Name), d))],
    };

    private static DeploymentGoal Build(DeploymentConfig? written, DeploymentDefinition code)
    {
        ScaleGoal scale = ScaleGoal.Of(written, code.Options);
        return new()
        {
            Name = code.Name,
            NumReplicas = scale.NumReplicas,
            Autoscaling = scale.Autoscaling,
            NumCpus = written?.NumCpus ?? code.Options.NumCpus,
            MemoryMb = written?.MemoryMb ?? code.Options.MemoryMb,
            Weight = written?.Weight ?? code.Options.Weight,
            MaxOngoingRequests = written?.MaxOngoingRequests ?? code.Options.MaxOngoingRequests,
            MaxQueuedRequests = written?.MaxQueuedRequests ?? code.Options.MaxQueuedRequests,
            MaxQueueWait = written?.MaxQueueWait ?? code.Options.MaxQueueWait,
            GracefulShutdownTimeout = written?.GracefulShutdownTimeout ?? code.Options.GracefulShutdownTimeout,
            HealthCheckPeriod = written?.HealthCheckPeriod ?? code.Options.HealthCheckPeriod,
            HealthCheckTimeout = written?.HealthCheckTimeout ?? code.Options.HealthCheckTimeout,
            MaxConstructorRetryCount = written?.MaxConstructorRetryCount ?? code.Options.MaxConstructorRetryCount,
            RollingUpdatePercentage = written?.RollingUpdatePercentage ?? code.Options.RollingUpdatePercentage,
            Replaces = written?.Replaces ?? code.Options.ReplacesOnUpdate,
            BackpressureStatusCode = written?.Backpressure?.StatusCode ?? code.Options.BackpressureStatusCode,
            RetryAfterS = written?.Backpressure is { } backpressure ? backpressure.RetryAfterS : code.Options.RetryAfterS,
            UserConfig = written?.UserConfig ?? code.Options.UserConfig,
        };
    }
}
