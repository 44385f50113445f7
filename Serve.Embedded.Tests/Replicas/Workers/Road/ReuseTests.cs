using System.Net.Sockets;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>Which connections are used again, and what happens to a request whose connection turns out to be closed.</summary>
public sealed class ReuseTests
{
    [Fact]
    public async Task Send_OneAfterTheOther_UsesOneConnection()
    {
        await using ScriptedWorker worker = new(AnswerForEver);
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        for (int i = 0; i < 5; i++)
        {
            Assert.EndsWith($"\r\n\r\n0 {i}", await host.GetAsync());
        }

        Assert.Equal(1, worker.ConnectionCount);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, Close\r\n\r\na")]
    [InlineData("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nx")]
    [InlineData("HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\na")]
    public async Task Send_AnswerThatEndsItsConnection_IsTheLastOnIt(string answer)
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            if (side.Index > 0)
            {
                await side.AnswerAsync("right");
                return;
            }

            await side.SendAsync(answer);
            await side.ClosedAsync();
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        string first = await host.GetAsync();
        string second = await host.GetAsync();

        Assert.DoesNotContain("502", first);
        Assert.DoesNotContain("evil", first);
        Assert.EndsWith("\r\n\r\nright", second);
    }

    [Fact]
    public async Task Send_WorkerSpokeWhileIdle_UsesAnother()
    {
        TaskCompletionSource answered = new();
        TaskCompletionSource spoken = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.AnswerAsync("right");
            if (side.Index == 0)
            {
                await answered.Task;
                await side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                spoken.SetResult();
                await side.ClosedAsync();
            }
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        string first = await host.GetAsync();
        answered.SetResult();
        await spoken.Task;
        string second = await host.GetAsync();

        Assert.EndsWith("\r\n\r\nright", first);
        Assert.EndsWith("\r\n\r\nright", second);
        Assert.Equal(2, worker.ConnectionCount);
    }

    [Theory]
    [InlineData("GET", 59, 1)]
    [InlineData("GET", 61, 2)]
    [InlineData("POST", 0, 1)]
    [InlineData("POST", 0.9, 2)] // The shortest keep-alive that servers can be told is a second.
    public async Task Send_AfterIdling_TakesAnOldConnectionOnlyIfItMay(string method, double seconds, int connections)
    {
        await using ScriptedWorker worker = new(AnswerForEver);
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        await host.GetAsync();
        host.Time.Advance(TimeSpan.FromSeconds(seconds));
        string second = await host.AskAsync($"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 200 ", second);
        Assert.Equal(connections, worker.ConnectionCount);
    }

    [Fact]
    public async Task Idle_AfterAMinute_IsClosed()
    {
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = AnswersOnceThenWaitsForTheEnd(closed);
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        await host.GetAsync();
        await host.Time.WhenArmedAsync(1, TestServer.Deadline);
        host.Time.Advance(TimeSpan.FromSeconds(60));

        await closed.Task.WaitAsync(TestServer.Deadline);
    }

    [Fact]
    public async Task Dispose_IdleConnections_AreClosed()
    {
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = AnswersOnceThenWaitsForTheEnd(closed);
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        await host.GetAsync();
        host.Worker.Dispose();

        await closed.Task.WaitAsync(TestServer.Deadline);
    }

    [Theory]
    [InlineData("GET", "")]
    [InlineData("PUT", "hello")]
    public async Task Send_KeptConnectionClosesUnderAnIdempotentRequest_IsRepeatedOnANewOne(string method, string body)
    {
        await using ScriptedWorker worker = new(side => CloseUnderTheSecondAsync(side, body));
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        await host.GetAsync();
        string second = await host.AskAsync($"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {body.Length}\r\nConnection: close\r\n\r\n{body}");

        Assert.EndsWith($"\r\n\r\nnew {body}", second);
        Assert.Empty(host.Failures);
    }

    [Fact]
    public async Task Send_KeptConnectionClosesUnderAPost_IsAFailureThatCouldBeRepeated()
    {
        await using ScriptedWorker worker = new(side => CloseUnderTheSecondAsync(side, ""));
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        await host.GetAsync();
        string second = await host.AskAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 502 ", second);
        WorkerFailedException failure = Assert.IsType<WorkerFailedException>(Assert.Single(host.Failures));
        Assert.False(failure.NothingSent);
        Assert.True(failure.CanRepeat);
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("POST")]
    public async Task Send_KeptConnectionWasClosedBefore_IsSentOnANewOne(string method)
    {
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.AnswerAsync($"{side.Index}");
            side.Dispose();
            closed.TrySetResult();
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        await host.GetAsync();
        await closed.Task;
        string second = await host.AskAsync($"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

        Assert.EndsWith("\r\n\r\n1", second);
        Assert.Empty(host.Failures);
    }

    /// <summary>There are workers that close each connection after its answer and do not say so: one that looks open may be closing.</summary>
    [Fact]
    public async Task Send_AConnectionWasClosedThatHadJustBeenUsed_APostGetsANewOneForAMinute()
    {
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = new(async side =>
        {
            if (side.Index > 0)
            {
                await AnswerForEver(side);
                return;
            }

            await side.ReadHeadAsync();
            await side.AnswerAsync("");
            side.Dispose();
            closed.SetResult();
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        const string Post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        await host.GetAsync();
        await closed.Task;

        Assert.EndsWith("\r\n\r\n1 0", await host.GetAsync());
        Assert.EndsWith("\r\n\r\n2 0", await host.AskAsync(Post));
        Assert.EndsWith("\r\n\r\n2 1", await host.GetAsync()); // The other was closed for it: there are workers that can carry on only one.
        host.Time.Advance(TimeSpan.FromSeconds(61));
        Assert.EndsWith("\r\n\r\n3 0", await host.GetAsync());
        Assert.EndsWith("\r\n\r\n3 1", await host.AskAsync(Post));
    }

    [Fact]
    [ContractRow(11)]
    public async Task Send_NobodyListens_SentNothingAndCanBeRepeated()
    {
        await using RoadHost host = await RoadHost.StartAsync(new UnixDomainSocketEndPoint(Path.Combine(Path.GetTempPath(), Path.GetRandomFileName())));

        string response = await host.AskAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");

        Assert.StartsWith("HTTP/1.1 502 ", response);
        Assert.Contains("could not be reached", response);
        WorkerFailedException failure = Assert.IsType<WorkerFailedException>(Assert.Single(host.Failures));
        Assert.True(failure.NothingSent);
        Assert.True(failure.CanRepeat);
    }

    [Theory]
    [InlineData(5, true)]
    [InlineData(15_000, true)]
    [InlineData(65_536, true)]
    [InlineData(65_537, false)]
    public async Task Send_WorkerDiesUnderABody_AnotherGetsItIfItWasKept(int length, bool repeated)
    {
        string body = string.Concat(Enumerable.Range(0, (length / 5) + 1).Select(i => $"{i % 10000:d4},"))[..length];
        TaskCompletionSource<string> got = new();
        await using ScriptedWorker dies = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.ReadExactlyAsync(length);
        });
        await using ScriptedWorker lives = new(async side =>
        {
            await side.ReadHeadAsync();
            got.SetResult(await side.ReadExactlyAsync(length));
            await side.AnswerAsync("done");
        });
        await using RoadHost host = await RoadHost.StartAsync(dies.EndPoint, lives.EndPoint);

        string response = await host.AskAsync($"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");

        WorkerFailedException failure = Assert.IsType<WorkerFailedException>(Assert.Single(host.Failures));
        Assert.False(failure.NothingSent);
        Assert.Equal(repeated, failure.CanRepeat);
        if (repeated)
        {
            Assert.EndsWith("\r\n\r\ndone", response);
            Assert.Equal(body, await got.Task);
        }
        else
        {
            Assert.StartsWith("HTTP/1.1 502 ", response);
        }
    }

    [Fact]
    public async Task Send_WorkerDiesInTheMiddleOfAChunkedBody_AnotherGetsAllOfIt()
    {
        TaskCompletionSource died = new();
        await using ScriptedWorker dies = new(async side =>
        {
            await side.ReadThroughAsync("\r\nhello\r\n");
            side.Dispose();
            died.SetResult();
        });
        await using ScriptedWorker lives = new(async side =>
        {
            await side.ReadThroughAsync("\r\n0\r\n\r\n");
            await side.AnswerAsync("done");
        });
        await using RoadHost host = await RoadHost.StartAsync(dies.EndPoint, lives.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await died.Task;
        await client.SendAsync("5\r\nworld\r\n0\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 200 ", await client.ReadUntilAsync("done"));
        Assert.False(Assert.IsType<WorkerFailedException>(Assert.Single(host.Failures)).NothingSent);
    }

    private static async Task AnswerForEver(WorkerSide side)
    {
        for (int i = 0; ; i++)
        {
            await side.ReadHeadAsync();
            await side.AnswerAsync($"{side.Index} {i}");
        }
    }

    /// <summary>Answers once, then reads a request and closes; on further connections answers each request with its body.</summary>
    private static async Task CloseUnderTheSecondAsync(WorkerSide side, string body)
    {
        await side.ReadHeadAsync();
        if (side.Index == 0)
        {
            await side.AnswerAsync("first");
            await side.ReadHeadAsync();
            await side.ReadExactlyAsync(body.Length);
            return;
        }

        await side.AnswerAsync($"new {await side.ReadExactlyAsync(body.Length)}");
    }

    private static ScriptedWorker AnswersOnceThenWaitsForTheEnd(TaskCompletionSource closed) => new(async side =>
    {
        await side.ReadHeadAsync();
        await side.AnswerAsync("");
        await side.ClosedAsync();
        closed.SetResult();
    });
}
