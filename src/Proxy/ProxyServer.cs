using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Options;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Proxy;

/// <summary>The data port: Kestrel with our application behind it, and a way out that answers everything that has arrived.</summary>
internal sealed class ProxyServer : IAsyncDisposable
{
    /// <summary>A connection that was active this recently may have a request on its way.</summary>
    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(1);

    private readonly ProxyApplication _application;
    private readonly ServingListener _listener;
    private readonly ServingConnections _connections;
    private readonly KestrelLog _log;
    private readonly KestrelServer _server;

    /// <param name="application">What answers.</param>
    /// <param name="endpoints">Where to listen.</param>
    /// <param name="handedOver">Gives the socket that was handed over for an endpoint; <see langword="null"/> = they are made.</param>
    public ProxyServer(ProxyApplication application, IReadOnlyList<IPEndPoint> endpoints, Func<EndPoint, Socket>? handedOver)
    {
        _application = application;
        _listener = new(application.Environment, handedOver);
        _connections = new(application);
        _log = new(application.Environment.Loggers, application.Environment.Time, _connections.Find);

        // A line that ends with a line feed alone ends elsewhere for other servers. Kestrel has no option for it, and reads this when its options are first used.
        AppContext.SetSwitch("Microsoft.AspNetCore.Server.Kestrel.DisableHttp1LineFeedTerminators", true);
        KestrelServerOptions options = new()
        {
            AddServerHeader = false,
            RequestHeaderEncodingSelector = static _ => HeaderEncoding.Instance,
            ResponseHeaderEncodingSelector = static _ => HeaderEncoding.Instance,
        };
        foreach (IPEndPoint endpoint in endpoints)
        {
            options.Listen(endpoint, listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                listen.Use(_connections.Bound);
            });
        }

        _server = new(Options.Create(options), _listener, _log);
        Limit(application.Settings);
    }

    /// <summary>Where it really listens, once started: <c>http://127.0.0.1:8000</c>.</summary>
    public IReadOnlyList<string> Addresses => [.. _server.Features.Get<IServerAddressesFeature>()!.Addresses];

    /// <summary>Connections that are served now.</summary>
    public int ConnectionCount => _connections.Count;

    /// <summary>Those of them that serve a request now.</summary>
    public int CountBusyConnections() => _connections.CountBusy();

    /// <exception cref="IOException">An address is in use or cannot be had.</exception>
    /// <exception cref="SocketException">Likewise.</exception>
    public Task StartAsync(CancellationToken cancellationToken) => _server.StartAsync(_application, cancellationToken);

    /// <summary>The application's new settings, for new connections and requests.</summary>
    public void ApplySettings() => Limit(_application.Settings);

    /// <summary>
    /// Answers what has arrived and lets nothing more in: readyz says no and responses close their connections; after the shutdown delay the listener
    /// closes; connections close as they fall idle.
    /// </summary>
    /// <param name="cancellationToken">Breaks off what is still open.</param>
    public async Task DrainAsync(CancellationToken cancellationToken)
    {
        _application.IsDraining = true;
        try
        {
            await Task.Delay(_application.Settings.ShutdownDelay, _application.Environment.Time, cancellationToken);
            int accepted = await _listener.StopAcceptingAsync(() => _connections.CloseIdle(QuietTime), cancellationToken);
            await _connections.CloseIdleAsync(accepted, QuietTime, cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The deadline: what is still open is broken off below.
        }

        await _server.StopAsync(cancellationToken);
    }

    public ValueTask DisposeAsync()
    {
        _server.Dispose();
        _connections.Dispose();
        _log.Dispose();
        return ValueTask.CompletedTask;
    }

    private void Limit(ProxySettings settings)
    {
        KestrelServerLimits limits = _server.Options.Limits;
        limits.KeepAliveTimeout = settings.KeepAliveTimeout;
        limits.MaxRequestBodySize = settings.MaxRequestBodyBytes;
    }
}
