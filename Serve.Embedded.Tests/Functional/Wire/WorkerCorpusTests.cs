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

        List<ReceivedResponse> responses = ReceivedResponse.All(await site.AskAsync("POST", answer));

        Assert.Equal([502, 200], responses.Select(r => r.Status));
        Assert.Contains(says, responses[0].Body, StringComparison.Ordinal);
        Assert.Equal("right", responses[1].Body);
        Assert.Contains(site.Server.LogsOf(EventIds.WorkerFailed), r => r.Message.Contains(says, StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(CutOff))]
    public async Task Answer_BrokenAfterItsHead_CutsTheClientOffAndTheNextIsRight(string answer)
    {
        string response = await site.AskAsync("GET", answer);
        string next = await site.AskAsync("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh");

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

        Assert.Equal(["fresh", "right"], ReceivedResponse.All(next).Select(r => r.Body));
    }

    [Theory]
    [MemberData(nameof(Whole))]
    public async Task Answer_WithMoreThanItMayHave_IsPassedOnWithoutItAndTheNextIsRight(string method, string answer)
    {
        string text = await site.AskAsync(method, answer);

        Assert.Contains("\r\n\r\nright", text[^9..], StringComparison.Ordinal);
        Assert.DoesNotContain("wrong", text, StringComparison.Ordinal);
        Assert.Equal(3, text.Split("HTTP/1.1 ").Length);
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
}

/// <summary>A worker that answers whatever a test says, once, and then rightly.</summary>
public sealed class BrokenWorkerSite : IAsyncLifetime
{
    private readonly ScriptedWorker _worker;
    private string? _next;

    public BrokenWorkerSite() => _worker = new(async side =>
    {
        while (true)
        {
            string head = await side.ReadHeadAsync();
            if (!head.Contains("X-Broken: 1", StringComparison.Ordinal))
            {
                await side.AnswerAsync("right");
                continue;
            }

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

    /// <summary>Asks for a broken answer and then for a right one, on one connection. Where that was closed, on another.</summary>
    internal async Task<string> AskAsync(string method, string answer)
    {
        const string Next = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        _next = answer;
        using RawConnection client = await Server.ConnectAsync();
        await client.SendAsync($"{method} / HTTP/1.1\r\nHost: a\r\nX-Broken: 1\r\n\r\n{Next}");
        return await client.ReadToEndAsync();
    }
}
