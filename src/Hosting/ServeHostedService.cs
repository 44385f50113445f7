using Microsoft.Extensions.Hosting;

namespace Serve.Embedded.Hosting;

/// <summary>
/// Lets the server live with its host. The framework starts its web server after the services that were added to the builder, and stops it before them: so routes are there before the first request,
/// and the replicas go when the last one is answered.
/// </summary>
internal sealed class ServeHostedService(ServeHost host) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => host.StartAsync(cancellationToken);

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Before the web server: responses tell clients and load balancers that the end is near.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        host.BeginDrain();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => host.StopAsync(cancellationToken);

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
