using System.Text;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>The server's own questions to a worker.</summary>
public sealed class WorkerProbeTests
{
    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", 200, "fine")]
    [InlineData("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n yet\r\n0\r\n\r\n", 503, "not yet")]
    [InlineData("HTTP/1.0 404 Not Found\r\n\r\nwhat?", 404, "what?")]
    public async Task Get_AnyAnswer_IsItsStatusAndBody(string answer, int status, string body)
    {
        await using ScriptedWorker worker = new(async side =>
        {
            Assert.StartsWith("GET /health HTTP/1.1\r\nHost: ", await side.ReadHeadAsync());
            await side.SendAsync(answer);
        });
        using WorkerConnections connections = new(worker.EndPoint, new ManualTimeProvider(), EventLoops.For(onEventThreads: false));

        Assert.Equal(new(status, body), await connections.GetAsync("/health", TestServer.Deadline));
    }

    [Fact]
    public async Task Get_LongBody_IsItsBeginning()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync($"HTTP/1.1 500 No\r\n\r\n{new string('x', 10_000)}");
        });
        using WorkerConnections connections = new(worker.EndPoint, new ManualTimeProvider(), EventLoops.For(onEventThreads: false));

        Assert.Equal(4_096, (await connections.GetAsync("/health", TestServer.Deadline)).Body.Length);
    }

    [Fact]
    public async Task Post_Json_IsSent()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            string head = await side.ReadHeadAsync();
            Assert.StartsWith("POST /config HTTP/1.1\r\n", head);
            Assert.Contains("\r\nContent-Type: application/json\r\nContent-Length: 7\r\n", head);
            await side.AnswerAsync(await side.ReadExactlyAsync(7));
        });
        using WorkerConnections connections = new(worker.EndPoint, new ManualTimeProvider(), EventLoops.For(onEventThreads: false));

        WorkerAnswer answer = await connections.PostAsync("/config", Encoding.UTF8.GetBytes("{\"a\":1}"), TestServer.Deadline);

        Assert.Equal(new(200, "{\"a\":1}"), answer);
    }

    [Theory]
    [InlineData("", "closed the connection before it answered")]
    [InlineData("hello\r\n", "is not valid HTTP/1.1")]
    public async Task Get_BrokenAnswer_SaysSo(string answer, string says)
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync(answer);
        });
        using WorkerConnections connections = new(worker.EndPoint, new ManualTimeProvider(), EventLoops.For(onEventThreads: false));

        WorkerFailedException failure = await Assert.ThrowsAsync<WorkerFailedException>(() => connections.GetAsync("/health", TestServer.Deadline));

        Assert.Contains(says, failure.Message);
        Assert.Contains("GET /health", failure.Message);
    }

    [Fact]
    public async Task Get_Cancelled_IsCancelled()
    {
        TaskCompletionSource asked = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            asked.SetResult();
            await side.ClosedAsync();
        });
        using WorkerConnections connections = new(worker.EndPoint, new ManualTimeProvider(), EventLoops.For(onEventThreads: false));
        using CancellationTokenSource cancellation = new();

        Task<WorkerAnswer> answer = connections.GetAsync("/health", cancellation.Token);
        await asked.Task;
        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => answer);
    }
}
