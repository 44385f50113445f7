using Microsoft.AspNetCore.Mvc.ApiExplorer;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Serve.Embedded.Hosting;

namespace Serve.Embedded;

/// <summary>Adds a server to an application's services.</summary>
public static class ServeServiceCollectionExtensions
{
    /// <summary>
    /// Adds a server that starts and stops with the host. Map it with <c>app.MapServe("/ml")</c>. The container gives the <see cref="ServeHost"/>, <see cref="IServeHandles"/>, and for every
    /// deployment of an application that is added here its handle, by the key <c>application/deployment</c>:
    /// <c>[FromKeyedServices("ml/Sentiment")] DeploymentHandle&lt;string, double&gt; sentiment</c>. What else options have may be set later too, with <c>Configure&lt;ServeOptions&gt;</c>.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Adds applications, names a configuration file. Called at once. A second call of this method adds to the first.</param>
    /// <exception cref="ArgumentException">An application that <paramref name="configure"/> adds is wrong; see <see cref="ServeOptions.AddApplication(string, string?, Action{ApplicationBuilder})"/>.</exception>
    public static IServiceCollection AddServe(this IServiceCollection services, Action<ServeOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        if (services.FirstOrDefault(s => s.ServiceType == typeof(ServeOptionsFactory))?.ImplementationInstance is not ServeOptionsFactory factory)
        {
            factory = new();
            services.AddSingleton(factory);
            services.AddOptions();
            services.AddLogging();
            services.AddMetrics();
            services.TryAddSingleton(TimeProvider.System);
            services.AddSingleton<IOptionsFactory<ServeOptions>>(provider => factory.With(
                provider.GetServices<IConfigureOptions<ServeOptions>>(), provider.GetServices<IPostConfigureOptions<ServeOptions>>(), provider.GetServices<IValidateOptions<ServeOptions>>()));
            services.AddSingleton(provider => new ServeHost(provider.GetRequiredService<IOptions<ServeOptions>>().Value, provider));
            services.AddSingleton<IServeHandles>(provider => provider.GetRequiredService<ServeHost>());
            services.AddHostedService<ServeHostedService>();
            services.TryAddEnumerable(ServiceDescriptor.Transient<IApiDescriptionProvider, ServeApiDescriptions>());
            ReplicaServices.Add(services);
        }

        int before = factory.Options.Own.Count;
        configure(factory.Options);
        ReplicaServices.AddHandles(services, factory.Options, before);
        return services;
    }
}
