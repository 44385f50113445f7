using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Tests.Functional;

/// <summary>What has come of a body that nobody has read, on the host's own Kestrel: by itself that takes it for the next request where its connection ends before the request does.</summary>
public sealed class HostBodyTests
{
    private const string Body = "GET /body HTTP/1.1\r\nHost: body\r\n\r\n";

    private readonly Probe _probe = new();
    private readonly ConcurrentQueue<string> _seen = [];
    private int _completed;

    /// <summary>The client leaves in the instant in which its request ends, so that either may be first.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("x-request-disconnect-disabled: ?1\r\n")]
    public async Task Client_LeavesAsItsRequestEnds_WhatItHasSentIsNoRequest(string header)
    {
        const int Clients = 300;
        await using TestServer server = await TestServer.EmbedAsync(_probe.Register(), Probe.Config(), map: app => Map(app));
        for (int i = 1; i <= Clients; i++)
        {
            RawConnection client = await server.ConnectAsync();
            await client.SendAsync(Post(header));
            ProbeCall running = await _probe.NextAsync();

            Task left = Task.Run(client.Dispose, TestServer.Deadline);
            running.Return("done");
            await left;

            await TestServer.UntilAsync(() => Volatile.Read(ref _completed) == i);
        }

        Assert.DoesNotContain("GET /body", _seen);
    }

    /// <summary>The host's middleware still has the request when its client leaves: so it is certain that this comes after the endpoint has ended.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_LeavesWhenTheEndpointHasEnded_WhatItHasSentIsNoRequest(bool endsAtOnce)
    {
        TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Silent(endsAtOnce)));
        await using TestServer server = await TestServer.EmbedAsync(registry, Probe.Config(), map: app => Map(app, async context =>
        {
            ended.TrySetResult();
            await TestServer.UntilAsync(() => context.RequestAborted.IsCancellationRequested);
        }));
        RawConnection client = await server.ConnectAsync();
        await client.SendAsync(Post());

        await ended.Task.WaitAsync(TestServer.Deadline);
        client.Dispose();

        await TestServer.UntilAsync(() => Volatile.Read(ref _completed) == 1);
        Assert.DoesNotContain("GET /body", _seen);
    }

    [Fact]
    public async Task Handler_AbortsTheConnection_WhatItsClientHasSentIsNoRequest()
    {
        const int Clients = 300;
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Aborts()));
        await using TestServer server = await TestServer.EmbedAsync(registry, Probe.Config(), map: app => Map(app));
        for (int i = 1; i <= Clients; i++)
        {
            using RawConnection client = await server.ConnectAsync();
            await client.SendAsync(Post());

            Assert.Equal("", await client.ReadToEndAsync());
            await TestServer.UntilAsync(() => Volatile.Read(ref _completed) == i);
        }

        Assert.DoesNotContain("GET /body", _seen);
    }

    /// <summary>A connection that lives carries the next request, whether or not somebody has read the body of the last one.</summary>
    [Fact]
    public async Task Client_Stays_ItsConnectionCarriesTheNextRequest()
    {
        await using TestServer server = await TestServer.EmbedAsync(_probe.Register(), Probe.Config(), map: app => Map(app));
        using RawConnection client = await server.ConnectAsync();
        for (int i = 0; i < 3; i++)
        {
            await client.SendAsync(Post());
            (await _probe.NextAsync()).Return($"done {i}");
            await client.ReadUntilAsync($"done {i}");
        }

        Assert.DoesNotContain("GET /body", _seen);
    }

    private static string Post(string header = "") => $"POST /post HTTP/1.1\r\nHost: a\r\n{header}Content-Length: {Body.Length}\r\n\r\n{Body}";

    private void Map(WebApplication app, Func<HttpContext, Task>? after = null)
    {
        app.Use(async (context, next) =>
        {
            if (context.Request.Method == HttpMethods.Post)
            {
                context.Features.Get<IConnectionCompleteFeature>()!.OnCompleted(tests =>
                {
                    Interlocked.Increment(ref ((HostBodyTests)tests)._completed);
                    return Task.CompletedTask;
                }, this);
            }

            _seen.Enqueue($"{context.Request.Method} {context.Request.Path}");
            await next(context);
            if (after is not null && context.Request.Method == HttpMethods.Post)
            {
                await after(context);
            }
        });
        app.MapGet("/body", () => "taken");
        app.MapServe();
    }

    /// <summary>Its response has no body: the end of one of a known length would be the end of what Kestrel tells of the client.</summary>
    private sealed class Silent(bool endsAtOnce) : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            if (!endsAtOnce)
            {
                await Task.Yield();
            }
        }
    }

    private sealed class Aborts : IHttpDeployment
    {
        public ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            context.Abort();
            return default;
        }
    }
}
