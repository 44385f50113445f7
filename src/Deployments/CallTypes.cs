using Microsoft.Extensions.DependencyInjection;

namespace Serve.Embedded.Deployments;

/// <summary>The types of a deployment's calls from code, for what needs them as type arguments long after registration.</summary>
internal abstract class CallTypes
{
    /// <summary>Lets the container give handles to the deployment.</summary>
    /// <param name="services">The container's.</param>
    /// <param name="application">The name under which it runs; <see langword="null"/> = only replicas of its own application can have a handle to it.</param>
    /// <param name="deployment">Its name.</param>
    public abstract void AddHandles(IServiceCollection services, string? application, string deployment);
}

/// <inheritdoc/>
internal sealed class CallTypes<TRequest, TResponse> : CallTypes
{
    public override void AddHandles(IServiceCollection services, string? application, string deployment)
    {
        services.AddKeyedScoped(deployment, (scope, _) => scope.GetRequiredService<DeploymentContext>().GetHandle<TRequest, TResponse>(deployment));
        if (application is not null)
        {
            services.AddKeyedSingleton($"{application}/{deployment}", (container, _) => container.GetRequiredService<IServeHandles>().GetHandle<TRequest, TResponse>(application, deployment));
        }
    }
}
