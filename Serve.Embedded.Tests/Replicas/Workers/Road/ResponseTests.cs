using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>A worker's response on its way to the client.</summary>
public sealed class ResponseTests
{
    [Fact]
    public async Task Send_Answer_IsPassedOnWithStatusReasonHeadersAndBody()
    {
        string response = await AnswerAsync(
            "HTTP/1.1 207 Many\r\nServer: mine\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty:\r\nContent-Length: 5\r\n\r\nhello");

        Assert.StartsWith("HTTP/1.1 207 Many\r\n", response);
        Assert.Contains("\r\nServer: mine\r\n", response);
        Assert.Contains("\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\n", response);
        Assert.Contains("\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", response);
        Assert.Contains("\r\nX-Empty: \r\n", response);
        Assert.Contains("\r\nContent-Length: 5\r\n", response);
        Assert.EndsWith("\r\n\r\nhello", response);
    }

    [Fact]
    public async Task Send_HopByHopHeadersOfTheAnswer_AreLeftOut()
    {
        string response = await AnswerAsync(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nTrailer: q\r\nContent-Length: 0\r\n\r\n");

        Assert.Contains("\r\nX-Other: 2\r\n", response);
        foreach (string gone in new[] { "X-Mine", "Keep-Alive", "keep-alive", "Proxy", "Upgrade", "Trailer" })
        {
            Assert.DoesNotContain(gone, response);
        }
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0000002 \r\nde\r\n0;z\r\nX-Trailer: 1\r\n\r\n")]
    public async Task Send_ChunkedAnswer_IsPassedOnInChunks(string answer)
    {
        string response = await AnswerAsync(answer);

        Assert.Contains("\r\nTransfer-Encoding: chunked\r\n", response);
        Assert.Equal("abcde", Dechunk(response));
    }

    /// <summary>On a connection that stays open, what comes after the headers were sent on must not wait for anything else.</summary>
    [Theory]
    [InlineData("", "Content-Length: 5\r\n", "hello")]
    [InlineData("", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")]
    [InlineData("TE: trailers\r\n", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")]
    public async Task Send_BodyComesAfterTheHeaders_ReachesTheClientAtOnce(string request, string headers, string body)
    {
        TaskCompletionSource headIsOut = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync($"HTTP/1.1 200 OK\r\n{headers}\r\n");
            await headIsOut.Task;
            await side.SendAsync(body);
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync($"GET / HTTP/1.1\r\nHost: a\r\n{request}\r\n");
        await client.ReadUntilAsync("\r\n\r\n");
        headIsOut.SetResult();

        await client.ReadUntilAsync(body);
    }

    [Fact]
    public async Task Send_AnswerInSingleBytes_IsTheSame()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            foreach (char c in "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            {
                await side.SendAsync(c.ToString());
            }
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        Assert.Equal("abcde", Dechunk(await host.GetAsync()));
    }

    /// <summary>A server that is not ours, as here, sends ASCII alone: a worker's header that holds more must not cost the client the response.</summary>
    [Fact]
    public async Task Send_HeaderBeyondAscii_DoesNotBreakTheResponse()
    {
        string response = await AnswerAsync("HTTP/1.1 200 Pr\u00e9t\r\nContent-Disposition: attachment; filename=\"\u00e9.txt\"\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\nok");

        Assert.StartsWith("HTTP/1.1 200 ", response);
        Assert.Contains("\r\nContent-Disposition: attachment; filename=\"?.txt\"\r\n", response);
        Assert.Contains("\r\nX-Other: 1\r\n", response);
        Assert.EndsWith("\r\n\r\nok", response);
    }

    [Fact]
    public async Task Send_InterimAnswers_AreSkipped()
    {
        string response = await AnswerAsync("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");

        Assert.StartsWith("HTTP/1.1 200 OK\r\n", response);
        Assert.DoesNotContain("Link", response);
    }

    [Theory]
    [InlineData("GET", "HTTP/1.1 204 No Content\r\n\r\n")]
    [InlineData("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n")]
    [InlineData("GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc")]
    [InlineData("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")]
    public async Task Send_AnswerWithoutBody_LeavesTheConnectionToTheNextRequest(string method, string answer)
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync(answer);
            await side.ReadHeadAsync();
            await side.AnswerAsync("next");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync($"{method} / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        string responses = await client.ReadUntilAsync("next");

        Assert.StartsWith(answer[..12], responses);
        Assert.DoesNotContain("abc", responses);
        Assert.Equal(1, worker.ConnectionCount);
    }

    [Theory]
    [InlineData("HTTP/1.1")]
    [InlineData("HTTP/1.0")]
    public async Task Send_AnswerWithoutLength_EndsWithItsConnection(string version)
    {
        string response = await AnswerAsync($"{version} 200 OK\r\n\r\nhello");

        Assert.Equal("hello", Dechunk(response));
    }

    [Fact]
    public async Task Send_StreamedAnswer_IsSeenPieceByPiece()
    {
        TaskCompletionSource seen = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
            await seen.Task;
            await side.SendAsync("9\r\ndata: 1\n\n\r\n");
            await side.ReadThroughAsync("never");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        string head = await client.ReadUntilAsync("\r\n\r\n");
        seen.SetResult();
        string piece = await client.ReadUntilAsync("data: 1\n\n");

        Assert.Contains("Content-Type: text/event-stream", head);
        Assert.DoesNotContain("0\r\n\r\n", piece);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: \0\r\n\r\n")]
    public async Task Send_AnswerBrokenWithinItsBody_IsBrokenOffForTheClient(string answer)
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync(answer);
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        string response = await host.GetAsync();

        Assert.IsType<WorkerFailedException>(Assert.Single(host.Failures));
        Assert.DoesNotContain("502", response);
        Assert.DoesNotContain("0\r\n\r\n", response);
        Assert.False(response.StartsWith("HTTP/1.1 200", StringComparison.Ordinal) && response.Contains("Content-Length: 5\r\n", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Send_LargeAnswer_ArrivesWhole()
    {
        string body = string.Concat(Enumerable.Range(0, 200_000).Select(i => $"{i:x8},"));
        string response = await AnswerAsync($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");

        Assert.EndsWith($"\r\n\r\n{body}", response);
    }

    [Fact]
    public async Task Send_ClientReadsSlowly_HoldsTheWorkerBack()
    {
        const int Pieces = 2_000;
        string piece = new('x', 64 * 1024);
        int sent = 0;
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {(long)Pieces * piece.Length}\r\n\r\n");
            for (int i = 0; i < Pieces; i++)
            {
                await side.SendAsync(piece);
                Volatile.Write(ref sent, i + 1);
            }
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.ReadUntilAsync("\r\n\r\nx");
        int before = -1;
        while (before != Volatile.Read(ref sent))
        {
            before = Volatile.Read(ref sent);
            await SettleAsync();
        }

        // What fits into the buffers of sockets and pipes, and no more.
        Assert.InRange(before, 0, Pieces / 4);
    }

    /// <summary>Gives the thread pool many turns.</summary>
    private static async Task SettleAsync()
    {
        for (int i = 0; i < 2_000; i++)
        {
            await Task.Yield();
        }
    }

    private static async Task<string> AnswerAsync(string answer)
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync(answer);
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        string response = await host.GetAsync();
        Assert.Empty(host.Failures);
        return response;
    }

    /// <summary>The body of a chunked response.</summary>
    private static string Dechunk(string response)
    {
        string rest = response[(response.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        string body = "";
        while (true)
        {
            int end = rest.IndexOf("\r\n", StringComparison.Ordinal);
            int size = Convert.ToInt32(rest[..end], 16);
            if (size == 0)
            {
                return body;
            }

            body += rest.Substring(end + 2, size);
            rest = rest[(end + 2 + size + 2)..];
        }
    }
}
