using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Hosting;

/// <summary>What a container needs to make replicas: their context, and handles by name.</summary>
internal static class ReplicaServices
{
    public static void Add(IServiceCollection services)
    {
        services.AddScoped<ReplicaScope>();
        services.AddScoped(scope => scope.GetRequiredService<ReplicaScope>().Context);
    }

    /// <summary>Handles to the deployments of code's own applications, from this one on; and those of the registry for each other's replicas.</summary>
    public static void AddHandles(IServiceCollection services, ServeOptions options, int from)
    {
        foreach (OwnApplication own in options.Own.Skip(from))
        {
            AddHandles(services, options.Registry.Applications[own.ImportPath], own.Name);
        }
    }

    /// <summary>The container of a server that has no host.</summary>
    public static IServiceProvider Of(DeploymentRegistry registry, ServeEnvironment environment)
    {
        ServiceCollection services = new();
        services.AddSingleton(environment.Loggers);
        services.AddLogging();
        services.AddSingleton(environment.Time);
        Add(services);
        foreach (ApplicationDefinition application in registry.Applications.Values)
        {
            AddHandles(services, application, name: null);
        }

        return services.BuildServiceProvider();
    }

    private static void AddHandles(IServiceCollection services, ApplicationDefinition application, string? name)
    {
        foreach (DeploymentDefinition deployment in application.Deployments)
        {
            deployment.Calls?.AddHandles(services, name, deployment.Name);
        }
    }
}
