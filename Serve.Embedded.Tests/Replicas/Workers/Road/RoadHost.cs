using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>A client's side of the road: Kestrel, and behind it nothing but a worker's connections.</summary>
internal sealed class RoadHost : IHttpApplication<HttpContext>, IAsyncDisposable
{
    private readonly KestrelServer _server;
    private readonly WorkerConnections[] _workers;

    /// <param name="prefix">The route prefix that is taken off each path.</param>
    /// <param name="endPoints">The worker; further ones are tried when one has failed and the request can be repeated.</param>
    private RoadHost(string prefix, EndPoint[] endPoints)
    {
        Prefix = prefix;
        _workers = [.. endPoints.Select(e => new WorkerConnections(e, Time, EventLoops.For(onEventThreads: true)))];
        KestrelServerOptions options = new() { AddServerHeader = false };
        options.Listen(IPAddress.Loopback, 0, l => l.Protocols = HttpProtocols.Http1);
        _server = new(
            Options.Create(options),
            new SocketTransportFactory(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance),
            NullLoggerFactory.Instance);
    }

    public ManualTimeProvider Time { get; } = new();

    public WorkerConnections Worker => _workers[0];

    /// <summary>What came out of the road instead of a response.</summary>
    public List<Exception> Failures { get; } = [];

    private string Prefix { get; }

    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    public static Task<RoadHost> StartAsync(params EndPoint[] endPoints) => StartAsync("", endPoints);

    public static async Task<RoadHost> StartAsync(string prefix, params EndPoint[] endPoints)
    {
        RoadHost host = new(prefix, endPoints);
        await host._server.StartAsync(host, Deadline);
        return host;
    }

    public async Task<RawConnection> ConnectAsync()
    {
        Uri address = new(_server.Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(address.Host, address.Port, Deadline);
        return new(socket);
    }

    /// <summary>Sends one request on a connection of its own and returns all that comes back.</summary>
    public async Task<string> AskAsync(string request)
    {
        using RawConnection client = await ConnectAsync();
        await client.SendAsync(request);
        return await client.ReadToEndAsync();
    }

    /// <summary>A simple request whose response ends its connection.</summary>
    public Task<string> GetAsync(string path = "/") => AskAsync($"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public async Task ProcessRequestAsync(HttpContext context)
    {
        if (context.Request.Path.StartsWithSegments(Prefix, out PathString rest) && Prefix.Length > 0)
        {
            context.Request.PathBase = Prefix;
            context.Request.Path = rest;
        }

        for (int i = 0; ; i++)
        {
            try
            {
                await _workers[i].SendAsync(context.Features, context.RequestAborted);
                return;
            }
            catch (WorkerFailedException failure) when (failure.CanRepeat && i + 1 < _workers.Length)
            {
                Failures.Add(failure);
            }
            catch (Exception failure)
            {
                Failures.Add(failure);
                await AnswerAsync(context, failure);
                return;
            }
        }
    }

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public async ValueTask DisposeAsync()
    {
        foreach (WorkerConnections worker in _workers)
        {
            worker.Dispose();
        }

        using CancellationTokenSource now = new();
        await now.CancelAsync();
        await _server.StopAsync(now.Token);
        _server.Dispose();
    }

    private static async Task AnswerAsync(HttpContext context, Exception failure)
    {
        if (context.Response.HasStarted || context.Response.BodyWriter.UnflushedBytes > 0)
        {
            context.Abort();
            return;
        }

        context.Response.Clear();
        context.Response.StatusCode = failure is Microsoft.AspNetCore.Http.BadHttpRequestException bad ? bad.StatusCode : StatusCodes.Status502BadGateway;
        byte[] message = Encoding.UTF8.GetBytes(failure.Message);
        context.Response.ContentLength = message.Length;
        await context.Response.BodyWriter.WriteAsync(message);
    }
}
