using System.Diagnostics;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>What a worker is sent: a request rebuilt from what the server has parsed.</summary>
public sealed class RequestHeadTests
{
    private const string TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    [Fact]
    public async Task Send_Get_IsRebuiltWithForwardedHeaders()
    {
        string head = await HeadAsync("GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nAccept: x\r\nX-One: 1\r\nX-One: 2\r\nConnection: close\r\n\r\n");

        Assert.StartsWith("GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n", head);
        Assert.Contains("\r\nAccept: x\r\n", head);
        Assert.Contains("\r\nX-One: 1\r\nX-One: 2\r\n", head);
        Assert.Contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: example.org\r\n\r\n", head);
        Assert.DoesNotContain("Content-Length", head);
        Assert.DoesNotContain("Transfer-Encoding", head);
    }

    [Fact]
    public async Task Send_ForwardedHeadersOfTheClient_AreNotTrustedButForTheList()
    {
        string head = await HeadAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-Prefix: /c\r\nConnection: close\r\n\r\n");

        Assert.Contains("\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n", head);
        Assert.DoesNotContain("X-Forwarded-Prefix", head);
    }

    [Fact]
    public async Task Send_HopByHopHeaders_AreLeftOut()
    {
        string head = await HeadAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, host\r\nX-Mine: 1\r\nX-Other: 2\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nProxy-Connection: y\r\nProxy: z\r\n" +
            "TE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nTrailer: q\r\n\r\n");

        Assert.Contains("\r\nX-Other: 2\r\n", head);
        Assert.Contains("\r\nHost: a\r\n", head);
        foreach (string gone in new[] { "X-Mine", "Keep-Alive", "Proxy", "TE:", "Upgrade", "HTTP2", "Trailer:", "Connection" })
        {
            Assert.DoesNotContain(gone, head);
        }
    }

    [Fact]
    public async Task Send_ClientTakesTrailers_IsPassedOnForThisConnection()
    {
        string head = await HeadAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, TE\r\nTE: gzip, trailers\r\n\r\n");

        Assert.Contains("\r\nConnection: TE\r\nTE: trailers\r\n", head);
    }

    [Theory]
    [InlineData("/app", "/")]
    [InlineData("/app/", "/")]
    [InlineData("/app?q=1", "/?q=1")]
    [InlineData("/app/a%2Fb%20c?x=%41&y", "/a%2Fb%20c?x=%41&y")]
    [InlineData("/%61pp/b%20c", "/b%20c")]
    [InlineData("/x/../app/b", "/b")]
    [InlineData("/app/b/../c", "/c")]
    [InlineData("/app/b/%2e%2e/c", "/c")]
    [InlineData("/app/b/..", "/")]
    [InlineData("/app//b", "//b")]
    [InlineData("/app/.hidden", "/.hidden")]
    [InlineData("/app/?..%2f", "/?..%2f")]
    [InlineData("http://other/app/b?c", "/b?c")]
    public async Task Send_BelowAPrefix_AsksForTheRestOfThePath(string sent, string asked)
    {
        string head = await HeadAsync($"GET {sent} HTTP/1.1\r\nHost: {(sent.StartsWith("http", StringComparison.Ordinal) ? "other" : "a")}\r\nConnection: close\r\n\r\n", "/app");

        Assert.StartsWith($"GET {asked} HTTP/1.1\r\n", head);
        Assert.Contains("\r\nX-Forwarded-Prefix: /app\r\n", head);
    }

    [Fact]
    public async Task Send_OptionsOfTheServer_AsksForTheServer() =>
        Assert.StartsWith("OPTIONS * HTTP/1.1\r\n", await HeadAsync("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));

    [Fact]
    public async Task Send_PostWithoutBody_SaysSo() =>
        Assert.Contains("\r\nContent-Length: 0\r\n", await HeadAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));

    [Fact]
    public async Task Send_Connect_IsRefused()
    {
        await using ScriptedWorker worker = new(_ => Task.CompletedTask);
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        string response = await host.AskAsync("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 405 ", response);
        Assert.Equal(0, worker.ConnectionCount);
    }

    [Fact]
    public void Write_WithinASpan_MakesTheWorkersSpansItsChildren()
    {
        using Activity span = new Activity("ours").SetIdFormat(ActivityIdFormat.W3C).SetParentId(TraceParent);
        span.TraceStateString = "ours=2";
        span.Start();

        string head = Head();

        Assert.Contains($"\r\ntraceparent: {span.Id}\r\ntracestate: ours=2\r\n", head, StringComparison.Ordinal);
        Assert.StartsWith(TraceParent[..36], span.Id, StringComparison.Ordinal);
        Assert.DoesNotContain(TraceParent, head, StringComparison.Ordinal);
        Assert.DoesNotContain("theirs", head, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_WithoutASpan_PassesTheClientsTraceOn()
    {
        Assert.Null(Activity.Current);

        Assert.Contains($"\r\nTraceparent: {TraceParent}\r\nTraceState: theirs=1\r\n", Head(), StringComparison.Ordinal);
    }

    private static string Head()
    {
        HttpRequestFeature request = new() { Method = "GET", Path = "/", RawTarget = "/", Scheme = "http" };
        request.Headers["Traceparent"] = TraceParent;
        request.Headers["TraceState"] = "theirs=1";
        WireBuffer buffer = new(512);
        RequestHead.Write(new FeatureCollection(), request, BodyFraming.Of(request.Headers), upgrade: null, buffer);
        return Encoding.ASCII.GetString(buffer.Written.Span);
    }

    private static async Task<string> HeadAsync(string request, string prefix = "")
    {
        TaskCompletionSource<string> head = new();
        await using ScriptedWorker worker = new(async side =>
        {
            head.SetResult(await side.ReadHeadAsync());
            await side.AnswerAsync("");
        });
        await using RoadHost host = await RoadHost.StartAsync(prefix, worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();
        await client.SendAsync(request);
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", await client.ReadUntilAsync("\r\n\r\n"));
        return await head.Task.WaitAsync(TestServer.Deadline);
    }
}
