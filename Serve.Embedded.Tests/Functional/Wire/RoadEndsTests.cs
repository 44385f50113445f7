using Serve.Embedded.Telemetry;
using static Serve.Embedded.Tests.Functional.Wire.RoadSite;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What is said of requests that do not end well, and what comes after them on their connections.</summary>
public sealed class RoadEndsTests
{
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
}
