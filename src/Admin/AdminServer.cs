using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Serve.Embedded.Admin;

/// <summary>The admin port: a listener of its own, so that it answers however full or far gone the data port is.</summary>
internal sealed class AdminServer : IAsyncDisposable
{
    /// <summary>How long the way out waits for those that are being answered.</summary>
    private static readonly TimeSpan LastAnswers = TimeSpan.FromSeconds(1);

    private readonly KestrelServer _server;
    private readonly AdminListener.Factory _listeners;
    private readonly AdminApplication _application;

    /// <param name="endpoints">Where to listen.</param>
    /// <param name="guard">Says who may ask.</param>
    /// <param name="loggers">Where log lines go.</param>
    /// <param name="control">What it may ask of the server.</param>
    /// <param name="open">Gives the socket for an endpoint, where some were handed over; else they are made.</param>
    public AdminServer(IReadOnlyList<IPEndPoint> endpoints, AdminGuard guard, ILoggerFactory loggers, IAdminControl control, Func<EndPoint, Socket>? open = null)
    {
        _application = new(loggers, guard, control);
        KestrelServerOptions options = new() { AddServerHeader = false };
        options.Limits.MaxConcurrentConnections = 256;
        options.Limits.MaxRequestBodySize = 16 << 20;
        foreach (IPEndPoint endpoint in endpoints)
        {
            options.Listen(endpoint, listen => listen.Protocols = HttpProtocols.Http1);
        }

        _listeners = new(open ?? SocketTransportOptions.CreateDefaultBoundListenSocket, TimeProvider.System, loggers);
        _server = new(Options.Create(options), _listeners, loggers);
    }

    /// <summary>Where it really listens, once started.</summary>
    public IReadOnlyList<string> Addresses => [.. _server.Features.Get<IServerAddressesFeature>()!.Addresses];

    public Task StartAsync(CancellationToken cancellationToken) => _server.StartAsync(_application, cancellationToken);

    /// <summary>Closes the port, after what is being answered: whoever asked for the shutdown must get the answer before the process ends.</summary>
    /// <param name="cutOff">Ends the wait early.</param>
    public async Task StopAsync(CancellationToken cutOff)
    {
        using CancellationTokenSource late = CancellationTokenSource.CreateLinkedTokenSource(cutOff);
        late.CancelAfter(LastAnswers);
        await _server.StopAsync(late.Token);
    }

    public ValueTask DisposeAsync()
    {
        _server.Dispose();
        _listeners.Dispose();
        return ValueTask.CompletedTask;
    }
}
