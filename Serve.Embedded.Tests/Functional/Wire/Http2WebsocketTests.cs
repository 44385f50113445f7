using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Serve.Embedded.Config;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>WebSockets over HTTP/2 (RFC 8441), as a host's Kestrel takes them: they hold what those over HTTP/1.1 hold, and a worker sees no difference.</summary>
public sealed partial class Http2WebsocketTests : IAsyncDisposable
{
    private readonly ScriptedWorker _worker;
    private string _head = "";

    public Http2WebsocketTests() => _worker = new(async side =>
    {
        while (true)
        {
            _head = await side.ReadHeadAsync();
            string key = KeyOf().Match(_head).Groups[1].Value;
            string refusal = RefusalOf().Match(_head).Groups[1].Value;
            if (!_head.Contains("\r\nUpgrade: websocket\r\n", StringComparison.Ordinal) || refusal is not ("" or "101"))
            {
                await side.SendAsync($"HTTP/1.1 {(refusal.Length > 0 ? refusal : "200")} So\r\nContent-Length: 5\r\n\r\nplain");
                continue;
            }

            string accept = refusal == "101" ? "no" : AcceptOf(key);
            await side.SendAsync($"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\nhi");
            while (true)
            {
                await side.ReadThroughAsync("ping");
                await side.SendAsync("pong");
            }
        }
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_TakesIt_BytesGoBothWays(bool middleware)
    {
        await using TestServer server = await EmbedAsync(maxWebsockets: null, middleware: middleware);
        using HttpClient client = NewClient(server);
        using (HttpResponseMessage response = await AskAsync(client, "/chat?a=b"))
        {
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal(["chat"], response.Headers.GetValues("Sec-WebSocket-Protocol"));
            Assert.False(response.Headers.Contains("Sec-WebSocket-Accept"));
            await using Stream stream = await response.Content.ReadAsStreamAsync(TestServer.Deadline);
            await ReadAsync(stream, "hi");
            await PingAsync(stream);
        }

        Assert.StartsWith("GET /chat?a=b HTTP/1.1\r\n", _head, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ", _head, StringComparison.Ordinal);
        Assert.Contains("\r\nSec-WebSocket-Version: 13\r\n", _head, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("mine", _head, StringComparison.Ordinal);
        await TestServer.UntilAsync(() => server.LogsOf(EventIds.RequestHandled).Any());
        Assert.Contains("CONNECT / 200 ", server.LogsOf(EventIds.RequestHandled).Single().Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("403", HttpStatusCode.Forbidden, "plain")]
    [InlineData("200", HttpStatusCode.BadGateway, "The worker's answer is not valid HTTP/1.1: it is 200, and a WebSocket's handshake is answered with 101 Switching Protocols or refused with an error.")]
    [InlineData("101", HttpStatusCode.BadGateway, "The worker's answer is not valid HTTP/1.1: it is 101 Switching Protocols, but not with the Sec-WebSocket-Accept that belongs to the handshake's key.")]
    public async Task Worker_DoesNotTakeIt_TheClientHasNoWebSocket(string answer, HttpStatusCode status, string text)
    {
        await using TestServer server = await EmbedAsync(maxWebsockets: 1);
        using HttpClient client = NewClient(server);
        for (int i = 0; i < 2; i++)
        {
            using HttpResponseMessage response = await AskAsync(client, refusal: answer);

            Assert.Equal((status, text), (response.StatusCode, await response.Content.ReadAsStringAsync(TestServer.Deadline)));
        }
    }

    [Fact]
    public async Task NoBound_HoldsItsPermit()
    {
        await using TestServer server = await EmbedAsync(maxWebsockets: null);
        using HttpClient client = NewClient(server);
        using HttpResponseMessage socket = await AskAsync(client);

        using HttpResponseMessage plain = await client.GetAsync("/", TestServer.Deadline);

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.ServiceUnavailable), (socket.StatusCode, plain.StatusCode));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Bound_HoldsNoPermitAndRefusesOneMore(bool worker)
    {
        await using TestServer server = await EmbedAsync(maxWebsockets: 1, worker);
        using HttpClient client = NewClient(server);
        using (HttpResponseMessage socket = await AskAsync(client))
        {
            await using Stream stream = await socket.Content.ReadAsStreamAsync(TestServer.Deadline);
            await ReadAsync(stream, "hi");

            using HttpResponseMessage plain = await client.GetAsync("/", TestServer.Deadline);
            using HttpResponseMessage refused = await AskAsync(client);

            // It says no more than it must: nothing but its method and protocol tell that it is one.
            using HttpResponseMessage bare = await AskAsync(client, isBare: true);
            Assert.Equal((HttpStatusCode.OK, "plain"), (plain.StatusCode, await plain.Content.ReadAsStringAsync(TestServer.Deadline)));
            Assert.Equal((HttpStatusCode.ServiceUnavailable, HttpStatusCode.ServiceUnavailable), (refused.StatusCode, bare.StatusCode));
            Assert.Contains("max_websockets = 1 on each of 1 replica(s)", await refused.Content.ReadAsStringAsync(TestServer.Deadline), StringComparison.Ordinal);
            Replica replica = server.Server.Status.Applications[0].Deployments[0].Replicas[0];
            Assert.Equal((0, 1), (replica.Permits.Ongoing, replica.Upgrades.Count));
        }

        await TestServer.UntilAsync(() => server.Server.Status.Applications[0].Deployments[0].Replicas[0].Upgrades.Count == 0);
        using HttpResponseMessage next = await AskAsync(client);
        Assert.Equal(HttpStatusCode.OK, next.StatusCode);
    }

    public ValueTask DisposeAsync() => _worker.DisposeAsync();

    private Task<TestServer> EmbedAsync(int? maxWebsockets, bool worker = true, bool middleware = true)
    {
        DeploymentConfig deployment = worker ? WorkerInTest.Deployment(_worker) : new() { Name = "Probe" };
        ServeConfig config = worker ? WorkerInTest.Config(deployment) : Probe.Config(deployment);
        deployment = deployment with { MaxOngoingRequests = 1, MaxQueuedRequests = 0, MaxWebsockets = maxWebsockets };
        return TestServer.EmbedAsync(
            new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Greets())),
            config with { Applications = [config.Applications[0] with { Deployments = [deployment] }] },
            map: app =>
            {
                if (middleware)
                {
                    app.UseWebSockets();
                }

                app.MapServe();
            },
            protocols: HttpProtocols.Http2);
    }

    private static HttpClient NewClient(TestServer server) => new(new SocketsHttpHandler { UseProxy = false })
    {
        BaseAddress = server.Address,
        DefaultRequestVersion = HttpVersion.Version20,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    private static async Task<HttpResponseMessage> AskAsync(HttpClient client, string path = "/", string? refusal = null, bool isBare = false)
    {
        using HttpRequestMessage request = new(HttpMethod.Connect, path) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        request.Headers.Protocol = "websocket";
        if (!isBare)
        {
            request.Headers.Add("Sec-WebSocket-Version", "13");
            request.Headers.Add("Sec-WebSocket-Key", "mine");
        }

        if (refusal is not null)
        {
            request.Headers.Add("X-Refuse", refusal);
        }

        return await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestServer.Deadline);
    }

    private static async Task PingAsync(Stream stream)
    {
        await stream.WriteAsync("ping"u8.ToArray(), TestServer.Deadline);
        await stream.FlushAsync(TestServer.Deadline);
        await ReadAsync(stream, "pong");
    }

    private static async Task ReadAsync(Stream stream, string text)
    {
        byte[] buffer = new byte[text.Length];
        await stream.ReadExactlyAsync(buffer, TestServer.Deadline);
        Assert.Equal(text, Encoding.ASCII.GetString(buffer));
    }

#pragma warning disable CA5350 // RFC 6455 asks for it.
    private static string AcceptOf(string key) => Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
#pragma warning restore CA5350

    [GeneratedRegex("\r\nSec-WebSocket-Key: (.*)\r\n")]
    private static partial Regex KeyOf();

    [GeneratedRegex("\r\nX-Refuse: (.*)\r\n", RegexOptions.IgnoreCase)]
    private static partial Regex RefusalOf();

    /// <summary>Greets on a connection that is handed over to it, and stays until its client goes.</summary>
    private sealed class Greets : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            if (context.Features.Get<IHttpExtendedConnectFeature>() is not { IsExtendedConnect: true } connect)
            {
                await context.Response.WriteAsync("plain", cancellationToken);
                return;
            }

            await using Stream stream = await connect.AcceptAsync();
            await stream.WriteAsync("hi"u8.ToArray(), cancellationToken);
            await stream.FlushAsync(cancellationToken);
            await stream.CopyToAsync(Stream.Null, cancellationToken);
        }
    }
}
