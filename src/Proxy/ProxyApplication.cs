using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>
/// What all exchanges share. It is Kestrel's application itself, without the hosting layer and its middleware, which is measurably faster
/// and leaves the order of things (admission before the body) to us.
/// </summary>
internal sealed class ProxyApplication(ServingState serving, ServeEnvironment environment, AccessLog accessLog, ProxySettings settings) : IHttpApplication<Exchange>
{
    /// <summary>One for each connection of the host, or for each stream of one, as the host's server has feature collections.</summary>
    private readonly ConditionalWeakTable<IFeatureCollection, Exchange> _ofHost = [];

    private RouteTable _routes = new(ServingSnapshot.Empty);
    private ProxySettings _settings = settings;
    private bool _isDraining;

    public ServeEnvironment Environment => environment;

    public AccessLog AccessLog => accessLog;

    /// <summary>For lines about one request; its scope attributes them to the replica that ran it.</summary>
    public ILogger RequestLog { get; } = environment.Loggers.CreateLogger(LogCategories.Replica);

    public ProxySettings Settings
    {
        get => Volatile.Read(ref _settings);
        set => Volatile.Write(ref _settings, value);
    }

    /// <summary>The server is on its way out: readyz says so and every response closes its connection.</summary>
    public bool IsDraining
    {
        get => Volatile.Read(ref _isDraining);
        set => Volatile.Write(ref _isDraining, value);
    }

    /// <summary>The table of the snapshot in force. Two threads may derive it at once; both get the same.</summary>
    public RouteTable Routes
    {
        get
        {
            ServingSnapshot snapshot = serving.Current;
            RouteTable routes = Volatile.Read(ref _routes);
            if (routes.Snapshot != snapshot)
            {
                routes = new(snapshot);
                Volatile.Write(ref _routes, routes);
            }

            return routes;
        }
    }

    public bool HadRoutes => serving.HasHadRoutes;

    /// <summary>Serves a request of the application in which the server is embedded.</summary>
    public Task ServeAsync(HttpContext context, HostRoute route)
    {
        IFeatureCollection features = context.Features;
        if (!_ofHost.TryGetValue(features, out Exchange? exchange))
        {
            exchange = new(this, isOfHost: true);
            _ofHost.AddOrUpdate(features, exchange);
        }

        // A handler may hand its own request over once more.
        return (exchange.ServesHost ? new Exchange(this, isOfHost: true) : exchange).ServeAsync(context, route);
    }

    public Exchange CreateContext(IFeatureCollection contextFeatures)
    {
        Exchange exchange;
        if (contextFeatures is IHostContextContainer<Exchange> connection)
        {
            exchange = connection.HostContext ??= new(this);
        }
        else
        {
            exchange = new(this);
        }

        exchange.Begin(contextFeatures);
        return exchange;
    }

    public Task ProcessRequestAsync(Exchange context) => context.ProcessAsync();

    public void DisposeContext(Exchange context, Exception? exception) => context.End();
}
