using System.Net;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Serve.Embedded.Admin;

/// <summary>The admin port: a listener of its own, so that it answers however full or far gone the data port is.</summary>
internal sealed class AdminServer : IAsyncDisposable
{
    private readonly KestrelServer _server;
    private readonly AdminApplication _application;

    public AdminServer(IReadOnlyList<IPEndPoint> endpoints, string host, ILoggerFactory loggers, Func<AdminView> view)
    {
        _application = new(loggers, new(host), view);
        KestrelServerOptions options = new() { AddServerHeader = false };
        options.Limits.MaxConcurrentConnections = 256;
        options.Limits.MaxRequestBodySize = 16 << 20;
        foreach (IPEndPoint endpoint in endpoints)
        {
            options.Listen(endpoint, listen => listen.Protocols = HttpProtocols.Http1);
        }

        _server = new(Options.Create(options), new SocketTransportFactory(Options.Create(new SocketTransportOptions()), loggers), loggers);
    }

    /// <summary>Where it really listens, once started.</summary>
    public IReadOnlyList<string> Addresses => [.. _server.Features.Get<IServerAddressesFeature>()!.Addresses];

    public Task StartAsync(CancellationToken cancellationToken) => _server.StartAsync(_application, cancellationToken);

    public async Task StopAsync()
    {
        using CancellationTokenSource now = new();
        await now.CancelAsync();
        await _server.StopAsync(now.Token);
    }

    public ValueTask DisposeAsync()
    {
        _server.Dispose();
        return ValueTask.CompletedTask;
    }
}
