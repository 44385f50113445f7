using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Hosting;
using Serve.Embedded.Proxy;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded;

/// <summary>
/// A server in this process. In an application with a host, <c>AddServe</c> makes it, and it starts and stops with the host; a program without one makes it with <see cref="Create"/>.
/// Safe for all threads.
/// </summary>
public sealed class ServeHost : IServeHandles, IAsyncDisposable
{
    private readonly ServeOptions _options;
    private readonly IServiceProvider _services;
    private readonly ServingState _serving = new();
    private readonly ILogger _logger;
    private IAsyncDisposable? _ownServices;
    private EmbeddedServer? _running;
    private int _state;

    internal ServeHost(ServeOptions options, IServiceProvider services)
    {
        _options = options;
        _services = services;
        _logger = Loggers.CreateLogger(LogCategories.Server);
    }

    /// <summary>What runs and how it is doing, at this instant. Without applications before the start and after the end.</summary>
    public ServeStatus Status => Running is { } running ? ServeStatus.Of(running.Server) : ServeStatus.None;

    /// <summary>Where it listens for requests if <see cref="ServeOptions.ListenOnHttpPort"/> is set, such as <c>http://127.0.0.1:8000</c>; else nothing.</summary>
    public IReadOnlyList<string> Addresses => Running?.Server.Addresses ?? [];

    /// <summary>Where it listens for admin requests if <see cref="ServeOptions.ListenOnAdminPort"/> is set; else nothing.</summary>
    public IReadOnlyList<string> AdminAddresses => Running?.Server.AdminAddresses ?? [];

    /// <summary>It has started, and has not been told to stop.</summary>
    public bool IsRunning => Running is not null;

    /// <summary>The parts, once it has started and until it stops.</summary>
    internal EmbeddedServer? Running => Volatile.Read(ref _running);

    internal ServeOptions Options => _options;

    private ILoggerFactory Loggers => _services.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance;

    /// <summary>Makes a server for a program that has no host. Start it with <see cref="StartAsync"/>, and dispose of it.</summary>
    /// <param name="configure">Adds applications, names a configuration file.</param>
    /// <param name="services">Adds what deployments take in their constructors, logging, or a <see cref="TimeProvider"/>; <see langword="null"/> = nothing.</param>
    /// <exception cref="ArgumentException">An application that <paramref name="configure"/> adds is wrong; see <see cref="ServeOptions.AddApplication(string, string?, Action{ApplicationBuilder})"/>.</exception>
    public static ServeHost Create(Action<ServeOptions> configure, Action<IServiceCollection>? services = null)
    {
        ArgumentNullException.ThrowIfNull(configure);
        ServiceCollection collection = new();
        services?.Invoke(collection);
        collection.AddServe(configure);
        ServiceProvider provider = collection.BuildServiceProvider();
        ServeHost host = provider.GetRequiredService<ServeHost>();
        host._ownServices = provider;
        return host;
    }

    /// <summary>Reads the configuration, publishes the routes and lets replicas start. Requests and calls that come from then on wait for them in their queues.</summary>
    /// <param name="cancellationToken">Gives the wait of <see cref="ServeOptions.WaitUntilRunning"/> up.</param>
    /// <exception cref="ServeException">The configuration has errors, an address cannot be had, or, where the start waits for it, an application does not come up.</exception>
    /// <exception cref="InvalidOperationException">It was started before.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        if (Interlocked.CompareExchange(ref _state, 1, 0) != 0)
        {
            throw new InvalidOperationException("A ServeHost starts once. Make another one.");
        }

        TimeProvider time = _options.Time ?? _services.GetRequiredService<TimeProvider>();
        ServeEnvironment environment = new(time, SeededRandom.New(), ServeEnvironment.ResumeOnThreadPool, Loggers)
        {
            Services = new(_services),
            Telemetry = new(_services.GetService<IMeterFactory>()),
        };
        EmbeddedServer running;
        try
        {
            running = await EmbeddedServer.StartAsync(_options, environment, _serving, ContentRoot(), Shutdown);
        }
        catch
        {
            environment.Telemetry.Dispose();
            throw;
        }

        Volatile.Write(ref _running, running);
        if (_options.WaitUntilRunning)
        {
            await running.SettledAsync(cancellationToken);
        }
    }

    /// <summary>Takes no more requests, finishes those that were admitted, and ends every replica, callers before those they call. Does nothing if it does not run.</summary>
    /// <param name="cancellationToken">
    /// Cuts off what is not finished. It is cut off in any case when the longest <c>graceful_shutdown_timeout_s</c> is over.
    /// </param>
    public async Task StopAsync(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _running, null) is { } running)
        {
            Log.EmbeddedStops(_logger);
            await running.StopAsync(cancellationToken);
        }
    }

    /// <summary>Reads <see cref="ServeOptions.ConfigFile"/> again and makes it the goal. Completes when everything runs as it says.</summary>
    /// <param name="cancellationToken">Stops waiting; the goal remains.</param>
    /// <exception cref="ServeException">The file has errors, and nothing was changed; or an application did not come up, and went back to what was good.</exception>
    /// <exception cref="InvalidOperationException">It does not run.</exception>
    public Task ReloadAsync(CancellationToken cancellationToken = default) =>
        (Running ?? throw new InvalidOperationException("The server does not run.")).ReloadAsync(cancellationToken);

    /// <inheritdoc/>
    public DeploymentHandle<TRequest, TResponse> GetHandle<TRequest, TResponse>(string application, string deployment)
    {
        ArgumentNullException.ThrowIfNull(application);
        ArgumentNullException.ThrowIfNull(deployment);
        if (OwnDefinition(application) is { } own)
        {
            string? wrong = own.TryFind(deployment, out DeploymentDefinition? definition)
                ? definition.TypeTrouble(application, typeof(TRequest), typeof(TResponse))
                : $"Application '{application}' has no deployment '{deployment}'. It has: {string.Join(", ", own.Deployments.Select(d => d.Name).Order(StringComparer.Ordinal))}.";
            if (wrong is not null)
            {
                throw new ArgumentException(wrong, nameof(deployment));
            }

            // A replica asks while it is made, and no request does.
            if (RequestScope.Current is { RequestId: null, Replica: not null } replica)
            {
                _options.Calls.Note($"{replica.Application}/{replica.Deployment}", $"{application}/{deployment}");
            }
        }

        return new(new ApplicationCalls<TRequest, TResponse>(_serving, application, deployment));
    }

    /// <summary>Stops it, without waiting longer than the longest <c>graceful_shutdown_timeout_s</c>.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        if (Interlocked.Exchange(ref _ownServices, null) is { } services)
        {
            await services.DisposeAsync();
        }
    }

    /// <summary>Every response closes its connection from now on, and readyz says no; requests are still taken.</summary>
    internal void BeginDrain() => Running?.BeginDrain();

    /// <summary>Where an endpoint of the host shall lead.</summary>
    /// <exception cref="ArgumentException">Code's own application has no such deployment, or it does not answer HTTP.</exception>
    internal HostRoute RouteTo(string? application, string? deployment)
    {
        if (deployment is not null && application is null)
        {
            throw new ArgumentException($"Which application is deployment '{deployment}' of?", nameof(application));
        }

        if (application is not null && deployment is not null && OwnDefinition(application) is { } own &&
            (!own.TryFind(deployment, out DeploymentDefinition? definition) || definition.Http is null))
        {
            throw new ArgumentException(
                $"Deployment '{deployment}' of application '{application}' cannot be mapped: there is none, or it neither takes an HttpRequest nor is an IHttpDeployment.", nameof(deployment));
        }

        if (application is not null && deployment is null && OwnDefinition(application) is { Ingress.Http: null })
        {
            throw new ArgumentException($"Application '{application}' cannot be mapped: its first deployment neither takes an HttpRequest nor is an IHttpDeployment.", nameof(application));
        }

        return new(_serving, application, deployment);
    }

    /// <summary>Where an endpoint of the host leads now, and what code says of it.</summary>
    internal IEnumerable<MappedApplication> MappedBy(HostRoute route)
    {
        foreach (ApplicationConfig application in Running?.Server.Config.Applications ?? [])
        {
            if (route.Application is { } only ? application.Name == only : application.RoutePrefix is not null)
            {
                ApplicationDefinition? code = OwnDefinition(application.Name);
                DeploymentDefinition? definition = code is null ? null
                    : route.Deployment is not { } deployment ? code.Ingress
                    : code.TryFind(deployment, out DeploymentDefinition? found) ? found
                    : null;
                yield return new(application.Name, route.Application is null ? application.RoutePrefix : null, route.Deployment, definition);
            }
        }
    }

    /// <summary>Answers a request of the host.</summary>
    internal Task HandleAsync(HttpContext context, HostRoute route)
    {
        if (Running is { } running)
        {
            return running.Server.Application.ServeAsync(context, route);
        }

        context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        context.Response.Headers.RetryAfter = "1";
        return context.Response.WriteAsync("The server has not started, or has ended.", context.RequestAborted);
    }

    private ApplicationDefinition? OwnDefinition(string application) =>
        _options.Own.FirstOrDefault(o => o.Name == application) is { } own ? _options.Registry.Applications[own.ImportPath] : null;

    private string? ContentRoot() => _services.GetService<IHostEnvironment>()?.ContentRootPath;

    /// <summary>The admin routes' shutdown ends the host, or, where there is none, the server.</summary>
    private void Shutdown()
    {
        if (_services.GetService<IHostApplicationLifetime>() is { } host)
        {
            host.StopApplication();
        }
        else
        {
            _ = StopAsync();
        }
    }
}
