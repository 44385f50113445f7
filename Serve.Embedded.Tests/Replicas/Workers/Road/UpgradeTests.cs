using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>Connections that are handed over to the worker, as for WebSockets.</summary>
public sealed class UpgradeTests
{
    private const string Request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";

    [Fact]
    public async Task Send_WorkerTakesTheUpgrade_BytesGoBothWaysUntilItEnds()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            string head = await side.ReadHeadAsync();
            Assert.Contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", head);
            Assert.Contains("\r\nSec-WebSocket-Key: k\r\n", head);
            await side.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhi");
            await side.ReadThroughAsync("ping");
            await side.SendAsync("pong");
            await side.ReadThroughAsync("bye");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync(Request);
        string head = await client.ReadUntilAsync("\r\n\r\nhi");
        await client.SendAsync("ping");
        string pong = await client.ReadUntilAsync("pong");
        await client.SendAsync("bye");
        string end = await client.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 101 Switching Protocols\r\n", head);
        Assert.Contains("\r\nConnection: Upgrade\r\n", head);
        Assert.Contains("\r\nUpgrade: websocket\r\n", head);
        Assert.Contains("\r\nSec-WebSocket-Accept: x\r\n", head);
        Assert.Equal("pong", pong);
        Assert.Equal("", end);
        Assert.Empty(host.Failures);
    }

    [Fact]
    public async Task Send_ClientLeavesAnUpgradedConnection_WorkerSeesIt()
    {
        TaskCompletionSource closed = new();
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
            await side.ClosedAsync();
            closed.SetResult();
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using (RawConnection client = await host.ConnectAsync())
        {
            await client.SendAsync(Request);
            await client.ReadUntilAsync("\r\n\r\n");
        }

        await closed.Task.WaitAsync(TestServer.Deadline);
    }

    [Fact]
    public async Task Send_WorkerRefusesTheUpgrade_ItsAnswerIsPassedOn()
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);
        using RawConnection client = await host.ConnectAsync();

        await client.SendAsync(Request);
        string response = await client.ReadUntilAsync("\r\n\r\nno");

        Assert.StartsWith("HTTP/1.1 403 ", response);
    }
}
