using System.Collections.Concurrent;
using System.Text;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>The corpus of broken answers, and more of them, through a whole server: the client is told, or cut off where its response has begun; the next request is answered rightly.</summary>
public sealed class WorkerCorpusTests(BrokenWorkerSite site) : IClassFixture<BrokenWorkerSite>
{
    public static TheoryData<string> Broken => [.. BrokenAnswerTests.Answers.Select(a => a.Data.Item1)];

    /// <summary>What is broken after its head: the client has the status, and no end.</summary>
    public static TheoryData<string> CutOff => new()
    {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
    };

    /// <summary>What is whole, and followed by something that nobody asked for, or has a body that it must not have.</summary>
    public static TheoryData<string, string> Whole => new()
    {
        { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong" },
        { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\r\n" },
        { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong" },
        { "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nwrong" },
        { "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n" },
        { "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nwrong" },
        { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong" },
        { "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n" },
        { "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Answer_Broken_Is502ThatSaysSoAndTheNextIsRight(string name)
    {
        (string answer, string says) = BrokenAnswerTests.Answers.Where(a => a.Data.Item1 == name).Select(a => (a.Data.Item2, a.Data.Item3)).Single();

        int loggedBefore = site.Server.LogsOf(EventIds.WorkerFailed).Count(r => r.Message.Contains(says, StringComparison.Ordinal));
        string[] texts = await AskOnBothRoadsAsync("POST", answer);

        foreach (string text in texts)
        {
            List<ReceivedResponse> responses = ReceivedResponse.All(text);
            Assert.Equal([502, 200], responses.Select(r => r.Status));
            Assert.Contains(says, responses[0].Body, StringComparison.Ordinal);
            Assert.Equal("right", responses[1].Body);
        }

        Same(texts, "POST", answer);
        Assert.Equal(2, site.Server.LogsOf(EventIds.WorkerFailed).Count(r => r.Message.Contains(says, StringComparison.Ordinal)) - loggedBefore);
    }

    /// <summary>Whether anything of a response has been sent when it breaks is not the same on both roads: the plain one can take back more.</summary>
    [Theory]
    [MemberData(nameof(CutOff))]
    public async Task Answer_BrokenAfterItsHead_CutsTheClientOffAndTheNextIsRight(string answer)
    {
        foreach (string response in await AskOnBothRoadsAsync("GET", answer))
        {
            Assert.DoesNotContain("\r\n0\r\n\r\n", response, StringComparison.Ordinal);
            if (response.StartsWith("HTTP/1.1 502", StringComparison.Ordinal))
            {
                // It was known to be broken before anything of it had been sent.
                Assert.Equal(["right"], ReceivedResponse.All(response).Skip(1).Select(r => r.Body));
            }
            else
            {
                Assert.DoesNotContain("right", response, StringComparison.Ordinal);
            }
        }

        foreach (string next in await AskOnBothRoadsAsync("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh"))
        {
            Assert.Equal(["fresh", "right"], ReceivedResponse.All(next).Select(r => r.Body));
        }
    }

    [Theory]
    [MemberData(nameof(Whole))]
    public async Task Answer_WithMoreThanItMayHave_IsPassedOnWithoutItAndTheNextIsRight(string method, string answer)
    {
        string[] texts = await AskOnBothRoadsAsync(method, answer);

        foreach (string text in texts)
        {
            Assert.Contains("\r\n\r\nright", text[^9..], StringComparison.Ordinal);
            Assert.DoesNotContain("wrong", text, StringComparison.Ordinal);
            Assert.Equal(3, text.Split("HTTP/1.1 ").Length);
        }

        Same(texts, method, answer);
    }

    [Fact]
    public async Task Answer_BeforeAnyRequest_IsNeverAnybodys()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            if (side.Index < 4)
            {
                await side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
            }

            while (true)
            {
                await side.ReadHeadAsync();
                await side.AnswerAsync("right");
            }
        });
        await using TestServer server = await WorkerInTest.StartAsync(worker);

        // Such an answer cannot be told from one to the first request of its connection, but there it ends.
        string last = "";
        for (int i = 0; i < 8; i++)
        {
            last = await server.Client.GetStringAsync("/", TestServer.Deadline);
        }

        Assert.Equal("right", last);
    }

    /// <summary>Asks on the plain road and on the long one, where the worker must get the same each time.</summary>
    /// <returns>What came on the one and on the other.</returns>
    private async Task<string[]> AskOnBothRoadsAsync(string method, string answer)
    {
        (string plainText, string[] plainGot) = await site.AskAsync(Road.Plain, method, answer);
        (string longText, string[] longGot) = await site.AskAsync(Road.Long, method, answer);
        Assert.Equal(longGot, plainGot);
        Assert.NotEmpty(plainGot);
        return [plainText, longText];
    }

    private static void Same(string[] texts, string method, string answer) =>
        Comparable.Same(Comparable.Of(texts[1], method == "HEAD", "right"), Comparable.Of(texts[0], method == "HEAD", "right"), answer);
}

/// <summary>A worker that answers whatever a test says, once, and then rightly.</summary>
public sealed class BrokenWorkerSite : IAsyncLifetime
{
    private readonly ScriptedWorker _worker;
    private readonly ConcurrentQueue<string> _got = new();
    private string? _next;

    public BrokenWorkerSite() => _worker = new(async side =>
    {
        while (true)
        {
            RecordedRequest request = await RecordedRequest.ReadAsync(side);
            if (request["X-Broken"] is null)
            {
                await side.AnswerAsync("right");
                continue;
            }

            _got.Enqueue(Comparable.Of(request));
            string answer = _next!;
            await side.SendAsync(answer);
            if (answer.Length == 0 || !answer.EndsWith("wrong", StringComparison.Ordinal))
            {
                // A worker that goes on would be waited for where its answer has no end.
                return;
            }
        }
    });

    internal TestServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await WorkerInTest.StartAsync(_worker);

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        await _worker.DisposeAsync();
    }

    /// <summary>Asks for a broken answer and then for a right one, on one connection.</summary>
    /// <returns>All that came, and what the worker got that was to be answered so.</returns>
    internal async Task<(string Text, string[] Got)> AskAsync(string road, string method, string answer)
    {
        const string Next = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        string head = $"{method} / HTTP/1.1\r\nHost: a\r\n{road}X-Broken: 1\r\n\r\n";
        Assert.Equal(road == Road.Plain, new PlainRequest().TryRead(Encoding.ASCII.GetBytes(head), out _));
        _next = answer;
        _got.Clear();
        using RawConnection client = await Server.ConnectAsync();
        await client.SendAsync(head + Next);
        string text = await client.ReadToEndAsync();
        return (text, [.. _got]);
    }
}
