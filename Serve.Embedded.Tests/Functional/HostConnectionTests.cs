using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Tests.Functional;

/// <summary>What a client that leaves leaves behind on a connection of the host's own Kestrel.</summary>
public sealed class HostConnectionTests
{
    private const string Body = "GET /body HTTP/1.1\r\nHost: body\r\n\r\n";

    private readonly Probe _probe = new();
    private readonly ConcurrentQueue<string> _seen = [];
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Kestrel alone would take what is left of the body for the next request: the connection's end is seen before the request's is, and so it is certain.</summary>
    [Theory]
    [InlineData("", true)]
    [InlineData("", false)]
    [InlineData("disconnect: continue\r\n", false)]
    public async Task Client_LeavesWithItsBodyUnread_WhatItHasSentIsNoRequest(string header, bool waits)
    {
        await using TestServer server = await TestServer.EmbedAsync(
            _probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 1 }), map: Map);
        using RawConnection first = await server.ConnectAsync();
        ProbeCall? running = null;
        if (waits)
        {
            await first.SendAsync("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
            running = await _probe.NextAsync();
        }

        RawConnection client = await server.ConnectAsync();
        await client.SendAsync($"POST /post HTTP/1.1\r\nHost: a\r\n{header}Content-Length: {Body.Length}\r\n\r\n{Body}");
        running ??= await _probe.NextAsync();
        await TestServer.UntilAsync(() => server.Server.Status.Applications.Single().Deployments.Single().Served.Gate.Waiting == (waits ? 1 : 0));

        client.Dispose();

        await _closed.Task.WaitAsync(TestServer.Deadline);
        if (!waits)
        {
            running.Return("done");
        }

        await _completed.Task.WaitAsync(TestServer.Deadline);
        running.Return("done");
        Assert.DoesNotContain(_seen, s => s.StartsWith("GET /body", StringComparison.Ordinal));
        if (waits)
        {
            // Not the 200 that it would be if nobody had said anything.
            Assert.Contains("POST /post 499", _seen);
        }
    }

    private void Map(WebApplication app)
    {
        app.Use(async (context, next) =>
        {
            if (context.Request.Method == HttpMethods.Post)
            {
                context.Features.Get<IConnectionLifetimeFeature>()!.ConnectionClosed.UnsafeRegister(static closed => ((TaskCompletionSource)closed!).TrySetResult(), _closed);
                context.Features.Get<IConnectionCompleteFeature>()!.OnCompleted(completed =>
                {
                    ((TaskCompletionSource)completed).TrySetResult();
                    return Task.CompletedTask;
                }, _completed);
            }

            await next(context);
            _seen.Enqueue($"{context.Request.Method} {context.Request.Path} {context.Response.StatusCode}");
        });
        app.MapGet("/body", () => "taken");
        app.MapServe();
    }
}
