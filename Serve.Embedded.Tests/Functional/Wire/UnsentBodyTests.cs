using System.Net.Sockets;
using System.Text;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Bodies for a worker that are announced and do not come.</summary>
public sealed class UnsentBodyTests
{
    [Theory]
    [InlineData(Road.Plain, "Content-Length: 10\r\n\r\nhalf")]
    [InlineData(Road.Long, "Content-Length: 10\r\n\r\nhalf")]
    [InlineData(Road.Long, "Transfer-Encoding: chunked\r\n\r\n5\r\nhalf")]
    [InlineData(Road.Long, "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")]
    public async Task Post_ClientIsGoneBeforeTheRest_IsNoFailure(string road, string half)
    {
        const int Clients = 20;
        await using ScriptedWorker worker = new(async side =>
        {
            // It answers none whose body has not come.
            await side.ReadHeadAsync();
            await side.ClosedAsync();
        });
        await using TestServer server = await WorkerInTest.StartAsync(worker);
        for (int i = 0; i < Clients; i++)
        {
            using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { LingerState = new(true, 0) };
            await client.ConnectAsync(server.Address.Host, server.Address.Port, TestServer.Deadline);
            await client.SendAsync(Encoding.ASCII.GetBytes($"POST / HTTP/1.1\r\nHost: a\r\n{road}{half}"), TestServer.Deadline);
            await RunsAsync(server);

            if (i % 2 == 0)
            {
                client.Close();
            }
            else
            {
                // It could still read, and there is nothing that it could take for an answer.
                client.Shutdown(SocketShutdown.Send);
                Assert.Equal("", await new RawConnection(client).ReadToEndAsync());
            }

            await TestServer.UntilAsync(() => server.LogsOf(EventIds.RequestHandled).Count() > i);
        }

        Assert.All(server.LogsOf(EventIds.RequestHandled), r => Assert.Contains(" 499 ", r.Message, StringComparison.Ordinal));
        Assert.Empty(server.LogsOf(EventIds.RequestFailed));
        Assert.Equal(Clients, server.Server.Status.Applications[0].Deployments[0].Served.Gate.Handles[0].Counts.Cancelled);
    }

    [Theory]
    [InlineData(Road.Plain)]
    [InlineData(Road.Long)]
    public async Task Refused_BodyComesAfterTheAnswer_IsTakenBeforeTheConnectionCloses(string road)
    {
        const int Clients = 20;
        await using RoadSite site = await RoadSite.StartAsync(d => d with { MaxQueuedRequests = 0 });
        using RoadCall running = await site.RunAsync(plain: true);
        for (int i = 0; i < Clients; i++)
        {
            using RawConnection client = await site.Server.ConnectAsync();
            await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{road}Content-Length: 10\r\n\r\n");
            string answer = await client.ReadUntilAsync("Retry after");
            Assert.StartsWith("HTTP/1.1 503 ", answer, StringComparison.Ordinal);
            Assert.Contains("\r\nConnection: close\r\n", answer, StringComparison.Ordinal);

            // On a connection that has closed the first is answered with a reset, and the next cannot be sent.
            await client.SendAsync("hello");
            await client.SendAsync("world");

            await client.ReadToEndAsync();
        }

        await running.EndAsync("done");
    }

    [Theory]
    [InlineData(Road.Plain)]
    [InlineData(Road.Long)]
    public async Task Refused_BodyDoesNotCome_ConnectionCloses(string road)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { MaxQueuedRequests = 0 });
        using RoadCall running = await site.RunAsync(plain: true);
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{road}Content-Length: 10\r\n\r\nhello");

        string answer = await site.PassTimeAsync(client.ReadToEndAsync());

        Assert.StartsWith("HTTP/1.1 503 ", answer, StringComparison.Ordinal);
        await running.EndAsync("done");
    }

    private static Task RunsAsync(TestServer server) =>
        TestServer.UntilAsync(() => server.Server.Status.Applications.Single().Deployments.Single().Served.Gate.Replicas is [{ Permits.Ongoing: > 0 }]);
}
