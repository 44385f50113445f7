using System.Globalization;
using System.Net;
using System.Text;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Bytes between a client, the published server and a worker that is a program of its own: streams, uploads, upgrades, and those who leave.</summary>
public sealed class BinaryWireTests
{
    /// <summary>MiB by which the server may grow while it passes on many times more.</summary>
    private const int Flat = 48;

    private const long Large = 256 * 1024 * 1024;

    [Fact]
    public async Task Events_AreSeenOneByOne()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using HttpResponseMessage response = await server.Client.GetAsync("/events", HttpCompletionOption.ResponseHeadersRead, server.Deadline);
        using StreamReader events = new(await response.Content.ReadAsStreamAsync(server.Deadline));

        Assert.Equal("data: 1", await events.ReadLineAsync(server.Deadline));
        await server.Client.GetStringAsync("/go", server.Deadline);

        Assert.Equal("\ndata: 2\n\n", await events.ReadToEndAsync(server.Deadline));
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
    }

    [Fact]
    public async Task Upload_Large_ArrivesWholeAndLeavesTheServerSmall()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        await server.Client.GetStringAsync("/", server.Deadline);
        long before = await WireSite.MemoryAsync(server);

        using HttpResponseMessage response = await server.Client.PostAsync("/upload", new StreamContent(new Zeros(Large)), server.Deadline);

        Assert.Equal($"{Large} None", await response.Content.ReadAsStringAsync(server.Deadline));
        Assert.InRange(await WireSite.MemoryAsync(server) - before, 0, Flat);
    }

    [Fact]
    public async Task Upload_OverTheLimit_Is413AndTheWorkerIsNotAsked()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        site.Write(WireSite.Config(http: "max_request_body_bytes = 1000"));
        await using ServeProcess server = await site.StartAsync();
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
        string response = await client.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 413 ", response, StringComparison.Ordinal);
        Assert.Contains("max_request_body_bytes = 1000", response, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Download_ReadSlowly_HoldsTheWorkerBackAndALeavingClientIsTold()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        await server.Client.GetStringAsync("/", server.Deadline);
        long before = await WireSite.MemoryAsync(server);
        RawConnection client = await server.ConnectAsync();

        await client.SendAsync($"GET /endless HTTP/1.1\r\nHost: a\r\nX-Size: {Large}\r\n\r\n");
        await client.ReadUntilAsync("\r\n\r\n\0");
        long sent = -1;
        for (int same = 0; same < 20;)
        {
            long now = long.Parse(await server.Client.GetStringAsync("/sent", server.Deadline), CultureInfo.InvariantCulture);
            same = now == sent ? same + 1 : 0;
            sent = now;
        }

        client.Dispose();

        Assert.Equal("/left", await server.Client.GetStringAsync("/left", server.Deadline));
        Assert.InRange(sent, 1, Large / 4);
        Assert.InRange(await WireSite.MemoryAsync(server) - before, 0, Flat);
    }

    [Fact]
    public async Task Expect_100_ComesWhenTheRequestIsAdmittedAndTheWorkerNeverSeesIt()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 100 ", await client.ReadUntilAsync("\r\n\r\n"), StringComparison.Ordinal);
        await client.SendAsync("hello");

        Assert.EndsWith("\r\n\r\n5 None", await client.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Answer_BeforeTheUploadHasEnded_ReachesTheClientAndClosesItsConnection()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n" + new string('x', 100_000));
        string response = await client.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 413 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", response, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\ntoo much", response, StringComparison.Ordinal);
        Assert.Equal("/next", await server.Client.GetStringAsync("/next", server.Deadline));
    }

    [Fact]
    public async Task Head_HasTheLengthAndNoBody()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        string responses = await client.ReadToEndAsync();

        Assert.Contains("\r\nContent-Length: 12345\r\n", responses, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n/next", responses, StringComparison.Ordinal);
        Assert.Matches(@"(?s)\AHTTP/1\.1 200 OK\r\n.*X-Head: 1\r\n(.*\r\n)?\r\nHTTP/1\.1 200 OK\r\n", responses);
    }

    [Fact]
    public async Task Websocket_OfARealWorker_IsBoundedAndHoldsNoPermit()
    {
        using OperatorSite site = await WireSite.CreateAsync("max_ongoing_requests = 1\nmax_queued_requests = 0\nmax_websockets = 1");
        await using ServeProcess server = await site.StartAsync();
        using RawConnection socket = await server.ConnectAsync(Encoding.Latin1);

        // Key and answer are the example of RFC 6455.
        const string Request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

        await socket.SendAsync(Request);
        string head = await socket.ReadUntilAsync("\r\n\r\n");
        await EchoAsync(socket);
        using RawConnection second = await server.ConnectAsync();
        await second.SendAsync(Request);
        string refused = await second.ReadUntilAsync("Retry after 1 s.");

        Assert.Contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", head, StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 503 ", refused, StringComparison.Ordinal);
        Assert.Contains("max_websockets = 1", refused, StringComparison.Ordinal);
        Assert.Equal("/plain", await server.Client.GetStringAsync("/plain", server.Deadline));

        // A close frame, and its answer.
        await socket.SendAsync("\u0088\u0080abcd");
        Assert.Equal("\u0088\0", await socket.ReadToEndAsync());
    }

    [Fact]
    public async Task Websocket_WorkerIsReplaced_GoesOnUntilItEnds()
    {
        using OperatorSite site = await WireSite.CreateAsync("max_websockets = 5\ngraceful_shutdown_timeout_s = 60.0");
        await using ServeProcess server = await site.StartAsync();
        using RawConnection socket = await server.ConnectAsync(Encoding.Latin1);
        await socket.SendAsync("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n");
        await socket.ReadUntilAsync("\r\n\r\n");
        int from = server.LineCount;

        Task reload = server.ReloadAsync(WireSite.Config("max_websockets = 5\ngraceful_shutdown_timeout_s = 60.0\nnice = 1"));
        await server.LineAsync(" runs", from);
        Assert.Equal("/new", await server.Client.GetStringAsync("/new", server.Deadline));
        await EchoAsync(socket);
        await socket.SendAsync("\u0088\u0080abcd");

        Assert.Equal("\u0088\0", await socket.ReadToEndAsync());
        await reload;
    }

    [Fact]
    public async Task Request_ThatCouldBeReadInTwoWays_IsRefusedAndClosesItsConnection()
    {
        using OperatorSite site = await WireSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        foreach ((string request, int status) in new[]
        {
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nA(B: c\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", 400),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        })
        {
            using RawConnection client = await server.ConnectAsync();
            await client.SendAsync(request + "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n");
            string response = await client.ReadToEndAsync();

            Assert.StartsWith($"HTTP/1.1 {status} ", response, StringComparison.Ordinal);
            Assert.DoesNotContain("/hidden", response, StringComparison.Ordinal);
            Assert.Equal("/next", await server.Client.GetStringAsync("/next", server.Deadline));
        }
    }

    /// <summary>A masked text frame, and the same text unmasked.</summary>
    private static async Task EchoAsync(RawConnection socket)
    {
        const string Mask = "\u0001\u0002\u0003\u0004";
        string masked = string.Concat("hello".Select((c, i) => (char)(c ^ Mask[i % 4])));
        await socket.SendAsync($"\u0081\u0085{Mask}{masked}");
        Assert.Equal("\u0081\u0005hello", await socket.ReadUntilAsync("hello"));
    }

    /// <summary>So many bytes, of which none is kept.</summary>
    private sealed class Zeros(long length) : Stream
    {
        private long _at;

        public override bool CanRead => true;

        public override bool CanSeek => true;

        public override bool CanWrite => false;

        public override long Length => length;

        public override long Position
        {
            get => _at;
            set => _at = value;
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            int read = (int)Math.Min(count, length - _at);
            buffer.AsSpan(offset, read).Clear();
            _at += read;
            return read;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
