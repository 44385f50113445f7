using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using static Serve.Embedded.Tests.Functional.Wire.RoadSite;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What is said of requests that do not end well, and what comes after them on their connections.</summary>
public sealed class RoadEndsTests
{
    /// <summary>More than all buffers between the worker and the client hold.</summary>
    private const int TooMuch = 64_000_000;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_BreaksOffItsResponse_IsLoggedWithWhatTheClientWasTold(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        for (int i = 1; i <= 20; i++)
        {
            using RoadCall call = await site.RunAsync(plain);
            await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            await call.Client.ReadUntilAsync("hello");

            call.Close();

            Assert.Equal("", await call.Client.ReadToEndAsync());
            await TestServer.UntilAsync(() => site.Server.LogsOf(EventIds.RequestHandled).Count() == i);
        }

        Assert.All(site.Server.LogsOf(EventIds.RequestHandled), r => Assert.Contains(" 200 ", r.Message, StringComparison.Ordinal));
        Assert.Equal((20, 0), (site.Counts.Failed, site.Counts.Cancelled));
    }

    /// <summary>What a worker said before it broke is often why it did: a client must not lose it to a reset, and can tell from the framing that something is missing.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_BreaksOffWithAPieceInHand_TheClientGetsThePieceAndThenTheEnd(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await call.Client.ReadUntilAsync("hello\r\n");

        await call.Side.SendAsync("5\r\nthere\r\nzz");

        Assert.Equal(("5\r\nthere\r\n", false), await call.Client.ReadToHowItEndsAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_AfterTheResponseHasBegun_IsLoggedWithWhatTheClientWasTold(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) });
        using RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        await call.Client.ReadUntilAsync("hello");

        await site.PassTimeAsync(call.Client.ReadToEndAsync());

        Assert.Contains(" 200 ", (await site.Server.LogAsync(EventIds.RequestHandled)).Message, StringComparison.Ordinal);
        Assert.Equal(
            "The request's time was over after its response had begun, and the connection was broken off: request_timeout_s (or the client's x-request-timeout-seconds) = 2 s",
            Assert.Single(site.Server.LogsOf(EventIds.ResponseTimedOut)).Message);
        Assert.Equal((1, 0), (site.Counts.TimedOut, site.Counts.Cancelled));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StreamTimeout_IsOver_IsLoggedWithItsName(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2), StreamTimeout = TimeSpan.FromSeconds(20) });
        using RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await call.Client.ReadUntilAsync("hello");

        await site.PassTimeAsync(call.Client.ReadToEndAsync());

        await site.Server.LogAsync(EventIds.RequestHandled);
        Assert.EndsWith(": stream_timeout_s = 20 s", Assert.Single(site.Server.LogsOf(EventIds.ResponseTimedOut)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_TakesItsPlainResponseTooSlowly_IsLoggedWithTheReasonAndWhatItWasTold()
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(plain: true);
        Task sending = call.Side.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {TooMuch}\r\n\r\n{new string('x', TooMuch)}");

        await site.PassTimeAsync(site.Server.LogAsync(EventIds.ClientTooSlow));

        await site.PermitIsBackAsync();
        await Assert.ThrowsAsync<SocketException>(() => sending);
        await SaysWhyAsync(site.Server, site.Counts, "240 bytes per second or more, after 5 s");
    }

    /// <summary>Whether the server looks before the break or after it, the client gets the same: what has come of a stream is its own.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_BreaksOffAStreamWithItsFirstPiece_TheClientGetsIt(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(plain, "Connection: close\r\n");

        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz");

        (string read, bool isReset) = await call.Client.ReadToHowItEndsAsync();
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", read, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n5\r\nhello\r\n", read, StringComparison.Ordinal);
        Assert.False(isReset);
    }

    /// <summary>The end of the connection is the end of the response here: only a reset says that it is not whole.</summary>
    [Fact]
    public async Task Worker_BreaksOffAResponseInHttp10_TheClientIsReset()
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.0\r\n\r\n");
        RoadCall call = await site.NextAsync();
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await client.ReadUntilAsync("hello");

        call.Close();

        Assert.Equal(("", true), await client.ReadToHowItEndsAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_AfterTheResponseHasBegun_EndsTheConnectionWithoutAReset(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) });
        using RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await call.Client.ReadUntilAsync("hello\r\n");

        Assert.Equal(("", false), await site.PassTimeAsync(call.Client.ReadToHowItEndsAsync()));
    }

    /// <summary>No framing says then that something is missing: the end of the connection alone would be no word at all.</summary>
    [Fact]
    public async Task RequestTimeout_AResponseHasBegunAndNothingOfItIsSent_TheClientIsReset()
    {
        ManualTimeProvider time = new();
        Holds holds = new();
        await using TestServer server = await TestServer.StartAsync(
            new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => holds)), Probe.Config(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) }), time);
        using RawConnection client = await server.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await holds.Begun.Task;

        Task<(string, bool)> end = client.ReadToHowItEndsAsync();
        await server.PassTimeUntilAsync(end);

        Assert.Equal(("", true), await end);
    }

    /// <summary>Nobody waits for a client that takes nothing, be the request's time over or its worker broken.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_TheClientTakesNothing_TheConnectionEnds(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) });
        using RoadCall call = await site.RunAsync(plain);
        int sent = 0;
        Task sending = SendAsync();
        await call.Client.ReadUntilAsync("\r\n\r\n");
        for (int before = -1; before != Volatile.Read(ref sent);)
        {
            // Until all buffers on the way are full.
            before = Volatile.Read(ref sent);
            for (int i = 0; i < 100_000; i++)
            {
                await Task.Yield();
            }
        }

        await site.PassTimeAsync(TestServer.UntilAsync(() => site.Server.Server.ConnectionCount == 0));

        await Assert.ThrowsAsync<SocketException>(() => sending);
        Assert.Contains(" 200 ", (await site.Server.LogAsync(EventIds.RequestHandled)).Message, StringComparison.Ordinal);
        Assert.Equal((1, 0), (site.Counts.TimedOut, site.Counts.Cancelled));
        Assert.Empty(site.Server.LogsOf(EventIds.ClientTooSlow));

        async Task SendAsync()
        {
            await call.Side.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {TooMuch}\r\n\r\n");
            for (string piece = new('x', TooMuch / 1000); sent < 1000; Interlocked.Increment(ref sent))
            {
                await call.Side.SendAsync(piece);
            }
        }
    }

    /// <summary>Kestrel's clock is the system's: this takes as long as it says.</summary>
    [Fact]
    public async Task Client_TakesAHandlersResponseTooSlowly_IsLoggedWithTheReasonAndWhatItWasTold()
    {
        await using TestServer server = await TestServer.StartAsync(new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Pours())), Probe.Config());
        using RawConnection client = await server.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

        await server.LogAsync(EventIds.ClientTooSlow);

        await SaysWhyAsync(server, server.Server.Status.Applications[0].Deployments[0].Served.Gate.Handles[0].Counts, "1000000000 bytes per second or more, after 1.5 s");
    }

    [Theory]
    [InlineData("Content-Length: 32\r\n\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n20\r\n")]
    public async Task Client_LeavesWithItsBodyUnread_WhatItHasSentIsNoRequest(string framing)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall first = await site.RunAsync(plain: true);
        RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain: false, method: "POST")[..^2] + framing + "GET /body HTTP/1.1\r\nHost: body\r\n\r\n");
        await TestServer.UntilAsync(() => site.Gate.InOrder == 1);

        client.Dispose();

        await TestServer.UntilAsync(() => site.Server.Server.ConnectionCount == 1);
        Assert.Equal(2, site.Counts.Arrived);
        Assert.Contains("POST / 499 ", Assert.Single(site.Server.LogsOf(EventIds.RequestHandled)).Message, StringComparison.Ordinal);
    }

    private static async Task SaysWhyAsync(TestServer server, HandleCounts counts, string rate)
    {
        await TestServer.UntilAsync(() => server.LogsOf(EventIds.RequestHandled).Any());
        FakeLogRecord answered = Assert.Single(server.LogsOf(EventIds.RequestHandled));
        FakeLogRecord why = Assert.Single(server.LogsOf(EventIds.ClientTooSlow));
        Assert.Contains(" 200 ", answered.Message, StringComparison.Ordinal);
        Assert.Equal(
            $"The client took its response too slowly, and the server broke the connection off: it is to take {rate} of grace. No key of the configuration changes this",
            why.Message);
        Assert.Equal((0, 1, 0), (counts.Completed, counts.Cancelled, counts.Failed));
    }

    /// <summary>Begins a response, and flushes nothing of it.</summary>
    private sealed class Holds : IHttpDeployment
    {
        public TaskCompletionSource Begun { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            context.Response.BodyWriter.GetSpan(4)[..4].Fill((byte)'x');
            context.Response.BodyWriter.Advance(4);
            Begun.SetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }
    }

    /// <summary>Sends for as long as it is let, at a rate of its own: Kestrel's is of all that was sent, and all buffers between here and the client would be hours of it.</summary>
    private sealed class Pours : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            context.Features.GetRequiredFeature<IHttpMinResponseDataRateFeature>().MinDataRate = new(bytesPerSecond: 1_000_000_000, TimeSpan.FromSeconds(1.5));
            byte[] piece = new byte[64_000];
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                await context.Response.Body.WriteAsync(piece, cancellationToken);
                await context.Response.Body.FlushAsync(cancellationToken);
            }
        }
    }
}
