using System.Net.Sockets;
using System.Text;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Small bodies for a worker that are announced and do not come.</summary>
public sealed class UnsentBodyTests
{
    [Theory]
    [InlineData("")]
    [InlineData("x-session-id: a\r\n")]
    public async Task Post_ClientIsGoneBeforeTheRest_IsNoFailure(string header)
    {
        const int Clients = 20;
        await using ScriptedWorker worker = new(AnswerAsync);
        await using TestServer server = await WorkerInTest.StartAsync(worker);
        for (int i = 0; i < Clients; i++)
        {
            using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { LingerState = new(true, 0) };
            await client.ConnectAsync(server.Address.Host, server.Address.Port, TestServer.Deadline);
            await client.SendAsync(Encoding.ASCII.GetBytes($"POST / HTTP/1.1\r\nHost: a\r\n{header}Content-Length: 10\r\n\r\nhalf"), TestServer.Deadline);
            await TestServer.UntilAsync(() => server.Server.Status.Applications.Single().Deployments.Single().Served.Gate.Replicas is [{ Permits.Ongoing: > 0 }]);

            client.Close();
            await TestServer.UntilAsync(() => server.LogsOf(EventIds.RequestHandled).Count() > i);
        }

        Assert.All(server.LogsOf(EventIds.RequestHandled), r => Assert.Contains(" 499 ", r.Message, StringComparison.Ordinal));
        Assert.Empty(server.LogsOf(EventIds.RequestFailed));
    }

    private static async Task AnswerAsync(WorkerSide side)
    {
        while (true)
        {
            await side.ReadHeadAsync();
            await side.ReadExactlyAsync(10);
            await side.AnswerAsync("ok");
        }
    }
}
