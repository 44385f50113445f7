using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Serve.Embedded.Client;

namespace Serve.Embedded;

/// <summary>Makes clients of <c>IHttpClientFactory</c> retry.</summary>
public static class ServeClientBuilderExtensions
{
    /// <summary>
    /// Gives a client a <see cref="ServeClientHandler"/>: <c>services.AddHttpClient("model", c => c.BaseAddress = ...).AddServeClient(o => o.MaxRetries = 3)</c>. All handlers that the factory makes under this name share one
    /// retry budget. Options are named as the client is, and wrong ones fail the start of the host. The clock is the container's <see cref="TimeProvider"/>.
    /// </summary>
    /// <param name="builder">What <c>AddHttpClient</c> returned.</param>
    /// <param name="configure">Sets options. <see langword="null"/> (default) = the defaults. A second call for the same client adds to the first.</param>
    /// <exception cref="ArgumentException">The builder is that of <c>ConfigureHttpClientDefaults</c>, which names no client.</exception>
    public static IHttpClientBuilder AddServeClient(this IHttpClientBuilder builder, Action<ServeClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        string name = builder.Name ?? throw new ArgumentException("AddServeClient is for one client, which has a budget of its own. Call it on what AddHttpClient returns, for each.", nameof(builder));
        IServiceCollection services = builder.Services;
        OptionsBuilder<ServeClientOptions> options = services.AddOptions<ServeClientOptions>(name);
        if (configure is not null)
        {
            options.Configure(configure);
        }

        if (services.Any(s => s.ServiceType == typeof(RetryBudget) && name.Equals(s.ServiceKey)))
        {
            // Two handlers in a row would retry each other's retries.
            return builder;
        }

        options.ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<ServeClientOptions>, Check>());
        services.TryAddSingleton(TimeProvider.System);
        services.AddKeyedSingleton(name, (provider, _) => OptionsOf(provider, name).NewBudget(provider.GetRequiredService<TimeProvider>()));
        return builder.AddHttpMessageHandler(provider => new ServeClientHandler(
            OptionsOf(provider, name), provider.GetRequiredKeyedService<RetryBudget>(name), provider.GetRequiredService<TimeProvider>(), Random.Shared));
    }

    private static ServeClientOptions OptionsOf(IServiceProvider provider, string name) => provider.GetRequiredService<IOptionsMonitor<ServeClientOptions>>().Get(name);

    private sealed class Check : IValidateOptions<ServeClientOptions>
    {
        public ValidateOptionsResult Validate(string? name, ServeClientOptions options) =>
            options.Problem() is { } problem ? ValidateOptionsResult.Fail($"Client '{name}': {problem}") : ValidateOptionsResult.Success;
    }
}
