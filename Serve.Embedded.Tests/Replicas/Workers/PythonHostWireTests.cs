using System.Net.Sockets;
using System.Text;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers;

/// <summary>Bytes on a connection to a Python worker: framing, streams, and clients that leave.</summary>
public sealed class PythonHostWireTests
{
    private const string Echo =
        """
        class Model:
            async def __call__(self, request):
                if request.path == "/early": return "early"
                return request.path + " " + (await request.text())
        """;

    private const string Streams =
        """
        import asyncio, inspect, threading
        from serve_embedded import StreamingResponse
        counts = {"yields": 0}
        plain_gate = threading.Event()
        class Model:
            def __init__(self): self.gate = asyncio.Event()
            async def __call__(self, request):
                if request.path == "/open":
                    plain_gate.set()
                    self.gate.set()
                    return "opened"
                if request.path == "/count": return counts["yields"]
                result = getattr(self, request.path[1:])()
                return await result if inspect.iscoroutine(result) else result
            async def gated(self):
                try:
                    yield "first"
                    await self.gate.wait()
                    yield "second"
                finally: print("closed gated", flush=True)
            def plain(self):
                thread = threading.current_thread()
                try:
                    yield "first"
                    plain_gate.wait()
                    assert threading.current_thread() is thread
                    yield "second"
                finally: print("closed plain", flush=True)
            def endless(self):
                try:
                    while True:
                        counts["yields"] += 1
                        yield "x" * 10_000
                finally: print("closed endless", flush=True)
            async def endless_async(self):
                try:
                    while True:
                        counts["yields"] += 1
                        yield "x" * 10_000
                finally: print("closed endless_async", flush=True)
            async def waits(self):
                print("waiting", flush=True)
                try: await asyncio.Event().wait()
                finally: print("closed waits", flush=True)
            def broken(self):
                yield "first"
                raise ValueError("half way")
            async def broken_async(self):
                yield "first"
                raise ValueError("half way")
            def nothing(self):
                return
                yield
            def failing(self):
                raise ValueError("before the first")
                yield
            def lines(self):
                yield {"a": 1}
                yield [2]
            def events(self): return StreamingResponse(self.gated(), 201, {"cache-control": "no-cache"}, "text/event-stream")
            def sized(self): return StreamingResponse(iter(["ab", "c"]), headers={"content-length": "3"})
            def short(self): return StreamingResponse(iter(["ab"]), headers={"content-length": "3"})
        """;

    private static readonly string[] Malformed =
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\n\n",
        "GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nhost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999999999999999\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1234567890123456\r\n",
    ];

    [Fact]
    public async Task Request_ThatCanBeReadInTwoWays_Is400AndTheConnectionEnds()
    {
        await using PythonHost host = await PythonHost.StartAsync(Echo);
        foreach (string request in Malformed)
        {
            using RawConnection connection = await host.ConnectAsync();
            await connection.SendAsync(request);
            string answer = await connection.ReadToEndAsync();

            Assert.True(answer.StartsWith("HTTP/1.1 400 Bad Request\r\n", StringComparison.Ordinal), $"{request}\nwas answered with\n{answer}");
            Assert.Contains("connection: close\r\n", answer, StringComparison.Ordinal);
            Assert.Single(Answers(answer));
        }
    }

    [Fact]
    public async Task Heads_ThatAreTooLarge_Are431()
    {
        await using PythonHost host = await PythonHost.StartAsync(Echo);
        string many = string.Concat(Enumerable.Repeat("x: y\r\n", 300));
        string trailers = string.Concat(Enumerable.Range(0, 80).Select(_ => $"x: {new string('y', 1000)}\r\n"));
        foreach (string request in (string[])[
            $"GET / HTTP/1.1\r\nhost: a\r\nx: {new string('y', 70_000)}\r\n\r\n",
            $"GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n",
            $"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"])
        {
            using RawConnection connection = await host.ConnectAsync();
            await connection.SendAsync(request);
            Assert.StartsWith("HTTP/1.1 431 ", await connection.ReadToEndAsync(), StringComparison.Ordinal);
        }

        using RawConnection other = await host.ConnectAsync();
        await other.SendAsync("GET / HTTP/2.0\r\nhost: a\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 505 ", await other.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connection_IsKept_AndRequestsThatComeTooEarlyAreAnsweredInOrder()
    {
        await using PythonHost host = await PythonHost.StartAsync(Echo);
        using RawConnection connection = await host.ConnectAsync();

        await connection.SendAsync(
            "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n" +
            "POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc" +
            "POST /3 HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\ntrailer: t\r\n\r\n" +
            "GET http://a/4 HTTP/1.1\r\nhost: a\r\n\r\n" +
            "GET /5 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" +
            "GET /6 HTTP/1.1\r\nhost: a\r\n\r\n");
        string answers = await connection.ReadToEndAsync();

        Assert.Equal(["/1 ", "/2 abc", "/3 def", "/4 ", "/5 "], Answers(answers));
    }

    [Fact]
    public async Task Request_ThatComesByteByByte_IsRead()
    {
        await using PythonHost host = await PythonHost.StartAsync(Echo);
        using RawConnection connection = await host.ConnectAsync();

        foreach (char c in "POST /slow HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        {
            await connection.SendAsync(c.ToString());
        }

        Assert.Equal(["/slow abc"], Answers(await connection.ReadToEndAsync()));
    }

    [Fact]
    public async Task OldClient_IsAnsweredAndItsConnectionEnds()
    {
        await using PythonHost host = await PythonHost.StartAsync(Streams);
        using RawConnection connection = await host.ConnectAsync();

        await connection.SendAsync("GET /lines HTTP/1.0\r\n\r\n");

        Assert.Equal("HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n{\"a\":1}\n[2]\n", await connection.ReadToEndAsync());
    }

    [Fact]
    public async Task ExpectContinue_IsSaidOnlyWhenTheHandlerWantsTheBody()
    {
        await using PythonHost host = await PythonHost.StartAsync(Echo);
        using RawConnection wanted = await host.ConnectAsync();
        await wanted.SendAsync("POST /wanted HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n");
        Assert.Equal("HTTP/1.1 100 Continue\r\n\r\n", await wanted.ReadUntilAsync("\r\n\r\n"));
        await wanted.SendAsync("ab");
        Assert.Contains("/wanted ab", await wanted.ReadUntilAsync("ab"), StringComparison.Ordinal);

        using RawConnection early = await host.ConnectAsync();
        await early.SendAsync("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n");
        string answer = await early.ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", answer, StringComparison.Ordinal);
        Assert.Contains("connection: close\r\n", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("content-length: 3000000\r\n", false)]
    [InlineData("transfer-encoding: chunked\r\n", false)]
    [InlineData("content-length: 300000\r\n", true)]
    public async Task EarlyAnswer_ToAnUploadThatNobodyReads_Arrives(string framing, bool keeps)
    {
        await using PythonHost host = await PythonHost.StartAsync(Echo);
        using RawConnection connection = await host.ConnectAsync();
        await connection.SendAsync($"POST /early HTTP/1.1\r\nhost: a\r\n{framing}\r\n");
        string answer = await connection.ReadUntilAsync("early");

        Assert.Equal(!keeps, answer.Contains("connection: close\r\n", StringComparison.Ordinal));
        if (keeps)
        {
            await connection.SendAsync(new string('x', 300_000) + "GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
            Assert.Contains("/next ", await connection.ReadUntilAsync("/next "), StringComparison.Ordinal);
        }
        else
        {
            Assert.Equal("", await connection.ReadToEndAsync());
        }
    }

    [Theory]
    [InlineData("/gated")]
    [InlineData("/plain")]
    public async Task Stream_ItemIsVisibleBeforeTheNextIsThere(string path)
    {
        await using PythonHost host = await PythonHost.StartAsync(Streams);
        using RawConnection connection = await host.ConnectAsync();

        await connection.SendAsync($"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        string first = await connection.ReadUntilAsync("5\r\nfirst\r\n");
        Assert.Contains("transfer-encoding: chunked\r\n", first, StringComparison.Ordinal);
        Assert.DoesNotContain("second", first, StringComparison.Ordinal);
        Assert.Equal("opened", await host.GetAsync("/open"));

        Assert.Equal("6\r\nsecond\r\n0\r\n\r\n", await connection.ReadUntilAsync("0\r\n\r\n"));
        await host.LineAsync("closed " + path[1..]);
        await connection.SendAsync("GET /lines HTTP/1.1\r\nhost: a\r\n\r\n");
        Assert.Contains("8\r\n{\"a\":1}\n\r\n4\r\n[2]\n\r\n0\r\n\r\n", await connection.ReadUntilAsync("0\r\n\r\n"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/gated", "first")]
    [InlineData("/endless", "xxx")]
    [InlineData("/endless_async", "xxx")]
    [InlineData("/events", "first")]
    public async Task Stream_ClientThatLeaves_ClosesTheGenerator(string path, string seen)
    {
        await using PythonHost host = await PythonHost.StartAsync(Streams);
        using (RawConnection connection = await host.ConnectAsync())
        {
            await connection.SendAsync($"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            await connection.ReadUntilAsync(seen);
        }

        await host.LineAsync("closed " + (path == "/events" ? "gated" : path[1..]));
        Assert.Equal("opened", await host.GetAsync("/open"));
    }

    [Fact]
    public async Task Handler_ClientThatLeaves_CancelsTheTask()
    {
        await using PythonHost host = await PythonHost.StartAsync(Streams);
        using (RawConnection connection = await host.ConnectAsync())
        {
            await connection.SendAsync("GET /waits HTTP/1.1\r\nhost: a\r\n\r\n");
            await host.LineAsync("waiting");
        }

        await host.LineAsync("closed waits");
        Assert.DoesNotContain("Traceback", host.Output, StringComparison.Ordinal);
    }

    /// <summary>A client that takes nothing stops the generator, after what fits into the buffers on the way; what it has not made does not cost memory.</summary>
    [Theory]
    [InlineData("/endless")]
    [InlineData("/endless_async")]
    public async Task Stream_ClientThatDoesNotRead_StopsTheGenerator(string path)
    {
        await using PythonHost host = await PythonHost.StartAsync(Streams);
        using RawConnection connection = await host.ConnectAsync();
        await connection.SendAsync($"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        await connection.ReadUntilAsync("xxx");

        string count, next = "0";
        do
        {
            count = next;
            for (int i = 0; i < 100; i++)
            {
                next = await host.GetAsync("/count");
            }
        }
        while (count != next);

        Assert.InRange(int.Parse(count, System.Globalization.CultureInfo.InvariantCulture), 1, 500);
    }

    [Theory]
    [InlineData("/broken")]
    [InlineData("/broken_async")]
    [InlineData("/short")]
    public async Task Stream_ThatFailsHalfWay_IsIncompleteForTheClient(string path)
    {
        await using PythonHost host = await PythonHost.StartAsync(Streams);
        using RawConnection connection = await host.ConnectAsync();

        await connection.SendAsync($"GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: r7\r\n\r\n");
        string answer = await connection.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 200 OK\r\n", answer, StringComparison.Ordinal);
        Assert.EndsWith(path == "/short" ? "\r\n\r\nab" : "5\r\nfirst\r\n", answer, StringComparison.Ordinal);
        await host.LineAsync(path == "/short" ? "[r7] RuntimeError: The response's body is 1 bytes shorter than its Content-Length" : "[r7] ValueError: half way");
    }

    [Fact]
    public async Task Stream_WithoutItemsOrOfKnownLength_IsWhole()
    {
        await using PythonHost host = await PythonHost.StartAsync(Streams);

        Assert.Equal("", await host.GetAsync("/nothing"));
        using HttpResponseMessage sized = await host.Client.GetAsync("/sized", host.Deadline);
        Assert.Equal((3, "abc"), (sized.Content.Headers.ContentLength, await sized.Content.ReadAsStringAsync(host.Deadline)));
        using HttpResponseMessage failed = await host.Client.GetAsync("/failing", host.Deadline);
        Assert.Equal(500, (int)failed.StatusCode);
        await host.GetAsync("/open");
        using HttpResponseMessage events = await host.Client.GetAsync("/events", host.Deadline);
        Assert.Equal((201, "text/event-stream; charset=utf-8", "no-cache", "firstsecond"), ((int)events.StatusCode, events.Content.Headers.ContentType!.ToString(), events.Headers.CacheControl!.ToString(), await events.Content.ReadAsStringAsync(host.Deadline)));
    }

    /// <summary>The bodies of responses that have a Content-Length, in order.</summary>
    private static List<string> Answers(string text)
    {
        List<string> bodies = [];
        while (text.Length > 0)
        {
            int end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4;
            string length = text[..end].Split("content-length: ")[1].Split("\r\n")[0];
            int size = int.Parse(length, System.Globalization.CultureInfo.InvariantCulture);
            bodies.Add(text.Substring(end, size));
            text = text[(end + size)..];
        }

        return bodies;
    }
}
