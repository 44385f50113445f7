using System.Diagnostics;
using System.Text;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Clients that are slow, rude, too big or too many.</summary>
public sealed class BinaryClientsTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// <summary>Three kinds of slow client at once; each is cut off by Kestrel's own limits, and nobody else notices.</summary>
    [Fact]
    public async Task SlowClients_AreCutOffAndHarmNobody()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Echo());
        using RawConnection halfALine = await server.ConnectAsync();
        using RawConnection halfTheHeaders = await server.ConnectAsync();
        using RawConnection halfTheBody = await server.ConnectAsync();
        long start = Stopwatch.GetTimestamp();

        await halfALine.SendAsync("GET / HT");
        await halfTheHeaders.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
        await halfTheBody.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
        Task<string> line = halfALine.ReadToEndAsync();
        Task<string> headers = halfTheHeaders.ReadToEndAsync();
        Task<string> body = halfTheBody.ReadToEndAsync();

        int answered = 0;
        while (!(line.IsCompleted && headers.IsCompleted && body.IsCompleted) && answered < 200)
        {
            Assert.Equal("ok", await server.Client.GetStringAsync("/", server.Deadline));
            answered++;
        }

        await Task.WhenAll(line, headers, body).WaitAsync(server.Deadline);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 5, 50);
        Assert.Contains(" 408 ", await headers, StringComparison.Ordinal);
        Assert.Equal([], server.Lines.Where(l => l.StartsWith("CRITICAL ", StringComparison.Ordinal) || l.StartsWith("ERROR ", StringComparison.Ordinal) || l.Contains(" 500 ", StringComparison.Ordinal)));
        Assert.Equal("ok", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task ClientLeaves_WhileItsRequestRuns_CancelsItAndFreesThePlace()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 40, ongoing: 1, queued: 0));
        using (RawConnection leaving = await server.ConnectAsync())
        {
            await leaving.SendAsync(Get);
            await BinaryShutdownTests.RunningAsync(server);
        }

        await server.LineAsync("GET / 499 ");
        await BinaryShutdownTests.RunningAsync(server, ongoing: 0);
        using RawConnection next = await server.ConnectAsync();
        await next.SendAsync(Get);

        // Its place is taken, so it was free.
        await BinaryShutdownTests.RunningAsync(server);
    }

    [Fact]
    public async Task ClientLeaves_WhileItsRequestWaits_FreesThePlaceInTheQueue()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 40, ongoing: 1, queued: 1));
        using RawConnection running = await server.ConnectAsync();
        await running.SendAsync(Get);
        await BinaryShutdownTests.RunningAsync(server);
        using (RawConnection leaving = await server.ConnectAsync())
        {
            await leaving.SendAsync(Get);
            await BinaryShutdownTests.RunningAsync(server, queued: 1);
        }

        await server.LineAsync("GET / 499 ");
        await BinaryShutdownTests.RunningAsync(server, queued: 0);
        using RawConnection next = await server.ConnectAsync();
        await next.SendAsync(Get);

        await BinaryShutdownTests.RunningAsync(server, queued: 1);
    }

    [Fact]
    public async Task MaxConnections_OneTooMany_IsRefusedAndThePlaceOfOneThatLeavesIsFree()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Echo("max_connections = 2"));
        RawConnection first = await OpenAsync(server);
        using RawConnection second = await OpenAsync(server);
        using RawConnection third = await server.ConnectAsync();

        await third.SendAsync(Get);
        string refused = await third.ReadToEndAsync();
        first.Dispose();
        string answer;
        do
        {
            // The server sees the first one's end when it sees it; until then this one is refused.
            using RawConnection fourth = await server.ConnectAsync();
            await fourth.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            answer = await fourth.ReadToEndAsync();
            server.Deadline.ThrowIfCancellationRequested();
        }
        while (answer.Contains("max_connections", StringComparison.Ordinal));

        Assert.StartsWith("HTTP/1.1 503 ", refused, StringComparison.Ordinal);
        Assert.Contains("max_connections", refused, StringComparison.Ordinal);
        Assert.Contains("max_connections", await server.LineAsync("A connection was refused"), StringComparison.Ordinal);
        Assert.EndsWith("ok", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task MaxRequestBody_IsEnforcedWithAndWithoutALength()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Echo("max_request_body_bytes = 1000"));
        using RawConnection declared = await server.ConnectAsync();
        using RawConnection chunked = await server.ConnectAsync();

        await declared.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
        await chunked.SendAsync($"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{new string('x', 2000)}\r\n0\r\n\r\n");
        string tooLong = await declared.ReadToEndAsync();
        string tooMuch = await chunked.ReadToEndAsync();
        using HttpResponseMessage fits = await server.Client.PostAsync("/", new ByteArrayContent(new byte[1000]), server.Deadline);

        Assert.StartsWith("HTTP/1.1 413 ", tooLong, StringComparison.Ordinal);
        Assert.Contains("Connection: close", tooLong, StringComparison.Ordinal);
        Assert.Contains("max_request_body_bytes = 1000", tooLong, StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 413 ", tooMuch, StringComparison.Ordinal);
        Assert.Equal(1000, (await fits.Content.ReadAsByteArrayAsync(server.Deadline)).Length);
    }

    /// <summary>100-continue asks for the body: it comes when the handler reads, and to a request that is refused it never does.</summary>
    [Fact]
    public async Task Expect100_IsAnsweredWhenTheBodyIsReadAndNotBefore()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 40, ongoing: 1, queued: 1) + Toml.EchoApplication());
        using RawConnection running = await server.ConnectAsync();
        await running.SendAsync(Get);
        await BinaryShutdownTests.RunningAsync(server);
        using RawConnection queued = await server.ConnectAsync();
        await queued.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\nX-Request-Timeout-Seconds: 0.5\r\n\r\n");
        await BinaryShutdownTests.RunningAsync(server, queued: 1);
        using RawConnection refused = await server.ConnectAsync();
        await refused.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n\r\n");
        using RawConnection read = await server.ConnectAsync();
        await read.SendAsync("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
        string go = await read.ReadUntilAsync("\r\n\r\n");
        await read.SendAsync("hello");
        string readAnswer = await read.ReadToEndAsync();
        string refusedAnswer = await refused.ReadToEndAsync();
        string queuedAnswer = await queued.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 503 ", refusedAnswer, StringComparison.Ordinal);
        Assert.Contains("Connection: close", refusedAnswer, StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 408 ", queuedAnswer, StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 100 Continue", go, StringComparison.Ordinal);
        Assert.EndsWith("hello", readAnswer, StringComparison.Ordinal);
    }

    /// <summary>An upload that waits is held back in the client's and the kernel's buffers, not in the server's memory.</summary>
    [Fact]
    public async Task Upload_WhileItWaits_IsNotRead()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 40, ongoing: 1, queued: 1));
        using RawConnection running = await server.ConnectAsync();
        await running.SendAsync(Get);
        await BinaryShutdownTests.RunningAsync(server);
        using RawConnection uploading = await server.ConnectAsync();
        await uploading.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
        await BinaryShutdownTests.RunningAsync(server, queued: 1);

        Task upload = uploading.SendAsync(new string('x', 90_000_000));
        for (int i = 0; i < 200; i++)
        {
            await BinaryShutdownTests.RunningAsync(server, queued: 1);
        }

        Assert.False(upload.IsCompleted);
        uploading.Dispose();
        await Assert.ThrowsAnyAsync<Exception>(() => upload);
    }

    [Fact]
    public async Task Timeouts_InExecutionAndInTheQueue_Answer408()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 40, ongoing: 1, queued: 1, http: "request_timeout_s = 0.5"));

        using RawConnection first = await server.ConnectAsync();
        using RawConnection second = await server.ConnectAsync();
        await first.SendAsync(Get.Replace("Host: x", "Host: x\r\nX-Request-ID: first", StringComparison.Ordinal));
        await second.SendAsync(Get.Replace("Host: x", "Host: x\r\nX-Request-ID: second", StringComparison.Ordinal));

        Assert.Contains("first timed out after 0.5s.", await first.ReadUntilAsync("timed out after 0.5s."), StringComparison.Ordinal);
        Assert.Contains("second timed out after 0.5s.", await second.ReadUntilAsync("timed out after 0.5s."), StringComparison.Ordinal);
        await server.LineAsync("GET / 408 ");
    }

    [Fact]
    public async Task Nonsense_IsRefusedAndHarmsNobody()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Echo());
        string[] nonsense =
        [
            "\0\0\0\0\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            $"GET /{new string('a', 20_000)} HTTP/1.1\r\nHost: x\r\n\r\n",
            "\u0016\u0003\u0001\u0002\0\u0001\0\u0001",
        ];

        foreach (string text in nonsense)
        {
            using RawConnection connection = await server.ConnectAsync();
            await connection.SendAsync(text + "\r\n\r\n");
            Assert.Matches("^(HTTP/1.1 4\\d\\d |$)", await connection.ReadToEndAsync());
        }

        Assert.Equal("ok", await server.Client.GetStringAsync("/", server.Deadline));
        Assert.DoesNotContain(server.Lines, l => l.StartsWith("ERROR", StringComparison.Ordinal));
    }

    private static async Task<RawConnection> OpenAsync(ServeProcess server)
    {
        RawConnection connection = await server.ConnectAsync();
        await connection.SendAsync(Get);
        await connection.ReadUntilAsync("ok");
        return connection;
    }
}
