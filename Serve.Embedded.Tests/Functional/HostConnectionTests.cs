using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional.Wire;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional;

/// <summary>How requests end on the host's own Kestrel, behind the host's own middleware.</summary>
public sealed class HostConnectionTests
{
    private const string Body = "GET /body HTTP/1.1\r\nHost: body\r\n\r\n";

    private readonly Probe _probe = new();
    private readonly ConcurrentQueue<string> _seen = [];
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Kestrel alone would take what is left of the body for the next request: the connection's end is seen before the request's is, and so it is certain.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_LeavesWithItsBodyUnread_WhatItHasSentIsNoRequest(bool waits)
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
        await client.SendAsync($"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: {Body.Length}\r\n\r\n{Body}");
        running ??= await _probe.NextAsync();
        await TestServer.UntilAsync(() => server.Server.Status.Applications.Single().Deployments.Single().Served.Gate.InOrder == (waits ? 1 : 0));

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

    /// <summary>What middleware does to a request that the host's time limit ends is the host's to say.</summary>
    [Theory]
    [InlineData(true, false)]
    [InlineData(false, false)]
    [InlineData(true, true)]
    [InlineData(false, true)]
    public async Task Host_EndsTheRequest_AnswersForItItself(bool waits, bool outlivesItsClient)
    {
        await using TestServer server = await TestServer.EmbedAsync(
            _probe.Register(),
            Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 1 }),
            build: builder => builder.Services.AddRequestTimeouts(),
            map: app =>
            {
                app.UseRequestTimeouts();
                app.MapServe("/patient");
                app.MapServe("/quick").WithRequestTimeout(TimeSpan.FromMilliseconds(50));
            });
        Task<string> patient = waits ? server.Client.GetStringAsync("/patient", TestServer.Deadline) : Task.FromResult("done");
        ProbeCall? running = waits ? await _probe.NextAsync() : null;

        using HttpRequestMessage request = new(HttpMethod.Get, "/quick");
        request.Headers.Add("x-request-disconnect-disabled", outlivesItsClient ? "?1" : "?0");
        Task<HttpResponseMessage> quick = server.Client.SendAsync(request, TestServer.Deadline);
        if (!waits)
        {
            running = await _probe.NextAsync();
            await running.Cancelled;
            running.Throw(new OperationCanceledException());
        }

        using HttpResponseMessage response = await quick;
        running!.Return("done");

        Assert.Equal(HttpStatusCode.GatewayTimeout, response.StatusCode);
        Assert.Equal("done", await patient);
        Assert.False(_probe.TryNext(out _));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task UseWebSockets_AHandlerAcceptsOne_TalksAndCloses(int version)
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Echo()));
        await using TestServer server = await TestServer.EmbedAsync(
            registry,
            Probe.Config(),
            map: app =>
            {
                app.UseWebSockets();
                app.MapServe("/ml");
            },
            protocols: version == 1 ? HttpProtocols.Http1 : HttpProtocols.Http2);
        using ClientWebSocket client = new() { Options = { HttpVersion = new(version, version == 1 ? 1 : 0), HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact } };
        using HttpMessageInvoker invoker = new(new SocketsHttpHandler());

        await client.ConnectAsync(new UriBuilder(server.Address) { Scheme = "ws", Path = "/ml" }.Uri, invoker, TestServer.Deadline);
        await client.SendAsync("ping"u8.ToArray().AsMemory(), WebSocketMessageType.Text, endOfMessage: true, TestServer.Deadline);
        byte[] buffer = new byte[16];
        ValueWebSocketReceiveResult received = await client.ReceiveAsync(buffer.AsMemory(), TestServer.Deadline);
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, "bye", TestServer.Deadline);

        Assert.Equal("ping", Encoding.UTF8.GetString(buffer, 0, received.Count));
        Assert.Equal((WebSocketCloseStatus.NormalClosure, "bye"), (client.CloseStatus, client.CloseStatusDescription));
        await TestServer.UntilAsync(() => server.LogsOf(EventIds.RequestHandled).Any());
        Assert.Contains(version == 1 ? " 101 " : " 200 ", server.LogsOf(EventIds.RequestHandled).Single().Message, StringComparison.Ordinal);
        Assert.Empty(server.LogsOf(EventIds.RequestBrokenOff));
    }

    /// <summary>Whoever holds the response back has still all of it in hand.</summary>
    [Fact]
    public async Task Handler_ThrowsAfterAResponseBeganThatTheHostHoldsBack_TheHostAnswers()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Late()));
        await using TestServer server = await TestServer.EmbedAsync(
            registry,
            Probe.Config(),
            map: app =>
            {
                app.UseExceptionHandler(new ExceptionHandlerOptions { ExceptionHandler = context => context.Response.WriteAsync(context.Features.GetRequiredFeature<IExceptionHandlerFeature>().Error.Message) });
                app.Use(async (context, next) =>
                {
                    Stream body = context.Response.Body;
                    using MemoryStream held = new();
                    context.Response.Body = held;
                    try
                    {
                        await next(context);
                    }
                    finally
                    {
                        context.Response.Body = body;
                    }

                    held.Position = 0;
                    await held.CopyToAsync(body, TestServer.Deadline);
                });
                app.MapServe();
            });

        using HttpResponseMessage response = await server.Client.GetAsync("/", TestServer.Deadline);

        Assert.Equal((HttpStatusCode.InternalServerError, "late"), (response.StatusCode, await response.Content.ReadAsStringAsync(TestServer.Deadline)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Handler_ThrowsAfterItsResponseBegan_IsLoggedOnceWithTheRequestsId(bool isWorker)
    {
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun");
            await begun.Task;
            side.End();
        });
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Late()));
        await using TestServer server = await TestServer.EmbedAsync(registry, isWorker ? WorkerInTest.Config(WorkerInTest.Deployment(worker)) : Probe.Config());
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: the-one\r\n\r\n");
        await client.ReadUntilAsync("begun");
        begun.SetResult();
        await client.ReadToEndAsync();
        client.Dispose();
        await server.StopAsync();

        FakeLogRecord record = Assert.Single(server.Logs.GetSnapshot(), r => r.Level >= LogLevel.Warning && !r.Message.Contains("workers", StringComparison.Ordinal));
        Assert.StartsWith("Request the-one failed after its response had begun, and its connection is broken off: ", record.Exception?.Message, StringComparison.Ordinal);
        Assert.EndsWith(isWorker ? "The worker closed the connection in the middle of its response." : "late", record.Exception!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Worker_BreaksOffWithAPieceInHand_TheHostsClientGetsThePieceAndThenTheEnd()
    {
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n");
            await begun.Task;
            await side.SendAsync("5\r\nthere\r\nzz");
        });
        await using TestServer server = await TestServer.EmbedAsync(new(), WorkerInTest.Config(WorkerInTest.Deployment(worker)));
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.ReadUntilAsync("begun\r\n");
        begun.SetResult();

        Assert.Equal(("5\r\nthere\r\n", false), await client.ReadToHowItEndsAsync());
    }

    /// <summary>Compression decides by the status and headers that the host's context has when the first byte passes. The handler has set its own before.</summary>
    [Theory]
    [InlineData("fails", 500, "Internal Server Error")]
    [InlineData("waits too long", 408, "Request ")]
    [InlineData("runs too long", 408, "Request ")]
    public async Task Answer_InAHandlersPlace_IsWhatTheHostsMiddlewareSees(string what, int status, string text)
    {
        ManualTimeProvider time = new();
        await using TestServer server = await TestServer.EmbedAsync(
            new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Json(_probe))),
            Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1 }, new() { RequestTimeout = TimeSpan.FromSeconds(5) }),
            time,
            builder => builder.Services.AddResponseCompression(),
            app =>
            {
                app.UseResponseCompression();
                app.MapServe();
            });
        using HttpClient client = new(new SocketsHttpHandler { AutomaticDecompression = DecompressionMethods.GZip, UseProxy = false }) { BaseAddress = server.Address };
        Task<HttpResponseMessage> first = client.GetAsync("/", TestServer.Deadline);
        ProbeCall running = await _probe.NextAsync();
        Task<HttpResponseMessage> asked = first;
        if (what == "fails")
        {
            running.Throw(new InvalidOperationException("no"));
        }
        else
        {
            if (what == "waits too long")
            {
                asked = client.GetAsync("/", TestServer.Deadline);
                await TestServer.UntilAsync(() => server.Server.Status.Applications.Single().Deployments.Single().Served.Gate.InOrder == 1);
            }

            await server.PassTimeUntilAsync(asked);
        }

        using HttpResponseMessage response = await asked;
        string read = await response.Content.ReadAsStringAsync(TestServer.Deadline);
        running.Return("late");
        (await first).Dispose();

        Assert.Equal((HttpStatusCode)status, response.StatusCode);
        Assert.StartsWith(text, read, StringComparison.Ordinal);
        Assert.Equal("text/plain", response.Content.Headers.ContentType?.MediaType);
    }

    [Theory]
    [InlineData("1.1", true)]
    [InlineData("1.0", false)]
    public async Task Handler_ThrowsAfterItsResponseBegan_WhatItFlushedArrivesWhereTheClientSeesThatMoreIsMissing(string version, bool arrives)
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Late()));
        await using TestServer server = await TestServer.EmbedAsync(registry, Probe.Config());
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync($"GET / HTTP/{version}\r\nHost: a\r\n\r\n");
        bool isReset = false;
        string read = "";
        try
        {
            read = await client.ReadUntilAsync("begun");
            read += await client.ReadUntilAsync("never");
        }
        catch (SocketException)
        {
            isReset = true;
        }
        catch (InvalidOperationException)
        {
            // Closed in order.
        }

        Assert.Equal(!arrives, isReset);
        Assert.Equal(arrives, read.EndsWith("begun\r\n", StringComparison.Ordinal));
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

    private sealed class Echo : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
            byte[] buffer = new byte[16];
            ValueWebSocketReceiveResult received;
            while ((received = await socket.ReceiveAsync(buffer.AsMemory(), cancellationToken)).MessageType != WebSocketMessageType.Close)
            {
                await socket.SendAsync(buffer.AsMemory(0, received.Count), received.MessageType, received.EndOfMessage, cancellationToken);
            }

            await socket.CloseAsync(socket.CloseStatus ?? WebSocketCloseStatus.Empty, socket.CloseStatusDescription, cancellationToken);
        }
    }

    /// <summary>Says what it will send, and asks the test what to do.</summary>
    private sealed class Json(Probe probe) : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            context.Response.ContentType = "application/json";
            await context.Response.WriteAsync(await probe.HandleAsync(context.Request, cancellationToken), CancellationToken.None);
        }
    }

    /// <summary>Throws when its response has begun.</summary>
    private sealed class Late : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            await context.Response.WriteAsync("begun", cancellationToken);
            await context.Response.Body.FlushAsync(cancellationToken);
            throw new InvalidOperationException("late");
        }
    }
}
