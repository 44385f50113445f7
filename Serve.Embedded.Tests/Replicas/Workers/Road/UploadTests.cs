using Serve.Embedded.Tests.Functional;
using BadHttpRequestException = Microsoft.AspNetCore.Http.BadHttpRequestException;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>A request's body on its way to the worker.</summary>
public sealed class UploadTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(16_384)]
    [InlineData(16_385)]
    [InlineData(500_000)]
    public async Task Send_BodyOfKnownLength_ArrivesWhole(int length)
    {
        string body = string.Concat(Enumerable.Range(0, (length / 9) + 1).Select(i => $"{i:x8},"))[..length];
        TaskCompletionSource<string> got = new();
        await using ScriptedWorker worker = new(async side =>
        {
            string head = await side.ReadHeadAsync();
            if (head.StartsWith("POST", StringComparison.Ordinal))
            {
                Assert.Contains($"\r\nContent-Length: {length}\r\n", head);
                got.SetResult(await side.ReadExactlyAsync(length));
                await side.AnswerAsync("done");
                await side.ReadHeadAsync();
            }

            await side.AnswerAsync("again");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        string response = await host.AskAsync($"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");

        Assert.EndsWith("\r\n\r\ndone", response);
        Assert.True(body == await got.Task);
        Assert.EndsWith("\r\n\r\nagain", await host.GetAsync());

        // A body that goes out by itself may end in the same instant as its answer, and then its connection is not used again.
        const int LargestInline = 16_384;
        Assert.InRange(worker.ConnectionCount, 1, length <= LargestInline ? 1 : 2);
    }

    [Fact]
    public async Task Send_ChunkedBodyWithTrailers_IsPassedOnAsItComes()
    {
        TaskCompletionSource first = new();
        TaskCompletionSource<string> rest = new();
        await using ScriptedWorker worker = new(async side =>
        {
            string head = await side.ReadHeadAsync();
            Assert.Contains("\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", head);
            Assert.DoesNotContain("Content-Length", head);
            await side.ReadThroughAsync("5\r\nhello\r\n");
            first.SetResult();
            rest.SetResult(await side.ReadThroughAsync("\r\n\r\n"));
            await side.AnswerAsync("done");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n");
        await first.Task.WaitAsync(TestServer.Deadline);
        await client.SendAsync("1\r\n!\r\n0\r\nX-Sum: 42\r\nHost: b\r\nContent-Length: 3\r\n\r\n");

        Assert.EndsWith("done", await client.ReadUntilAsync("done"));
        Assert.Equal("1\r\n!\r\n0\r\nX-Sum: 42\r\n\r\n", await rest.Task);
    }

    [Fact]
    public async Task Send_ClientExpects100_GetsItWhenTheWorkerIsReached()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            Assert.DoesNotContain("Expect", await side.ReadHeadAsync());
            await side.AnswerAsync(await side.ReadExactlyAsync(5));
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 100 Continue\r\n", await client.ReadUntilAsync("\r\n\r\n"));
        await client.SendAsync("hello");

        Assert.EndsWith("\r\n\r\nhello", await client.ReadUntilAsync("hello"));
    }

    [Fact]
    public async Task Send_WorkerAnswersBeforeTheBodyHasCome_IsPassedOnAndBothConnectionsEnd()
    {
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig");
            await side.ClosedAsync();
            closed.SetResult();
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello");
        string response = await client.ReadUntilAsync("big");

        Assert.StartsWith("HTTP/1.1 413 ", response);
        Assert.Contains("\r\nConnection: close\r\n", response);
        Assert.EndsWith("\r\n\r\nbig", response);
        await closed.Task.WaitAsync(TestServer.Deadline);
        Assert.Empty(host.Failures);
    }

    [Fact]
    public async Task Send_WorkerEchoesWhileItReads_GoesBothWays()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for (int i = 0; i < 3; i++)
            {
                await side.ReadThroughAsync($"4\r\nask{i}\r\n");
                await side.SendAsync($"4\r\nans{i}\r\n");
            }

            await side.ReadThroughAsync("0\r\n\r\n");
            await side.SendAsync("0\r\n\r\n");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 3; i++)
        {
            await client.SendAsync($"4\r\nask{i}\r\n");
            await client.ReadUntilAsync($"ans{i}\r\n");
        }

        await client.SendAsync("0\r\n\r\n");
        Assert.EndsWith("0\r\n\r\n", await client.ReadToEndAsync());
        Assert.Empty(host.Failures);
    }

    [Fact]
    public async Task Send_BrokenChunksFromTheClient_AreTheClientsFaultAndTheWorkerIsLetGo()
    {
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.ClosedAsync();
            closed.SetResult();
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
        string response = await client.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 400 ", response);
        Assert.IsAssignableFrom<BadHttpRequestException>(Assert.Single(host.Failures));
        await closed.Task.WaitAsync(TestServer.Deadline);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello")]
    public async Task Send_ClientLeaves_WorkerSeesItAtOnce(string request)
    {
        TaskCompletionSource asked = new();
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            asked.SetResult();
            await side.ClosedAsync();
            closed.SetResult();
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using (RawConnection client = await host.ConnectAsync())
        {
            await client.SendAsync(request);
            await asked.Task.WaitAsync(TestServer.Deadline);
        }

        await closed.Task.WaitAsync(TestServer.Deadline);
    }
}
