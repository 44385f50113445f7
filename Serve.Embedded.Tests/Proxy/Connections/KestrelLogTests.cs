using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Proxy;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Proxy.Connections;

public sealed class KestrelLogTests
{
    /// <summary>Kestrel calls half a head wrong, whoever has cut it off.</summary>
    [Theory]
    [InlineData(true, " The client has closed its connection; perhaps it had not sent all of it.")]
    [InlineData(false, " Its connection closes.")]
    public async Task Log_HeadIsWrong_SaysWhetherTheClientHasLeft(bool leaves, string end)
    {
        (Socket client, Socket accepted) = await SocketPair.ConnectAsync();
        using Socket one = client;
        accepted.Blocking = false;
        await using ClientConnection connection = new(accepted, EventLoops.For(onEventThreads: true).Emptiest);
        ServingConnection serving = new(connection, TimeProvider.System);
        if (leaves)
        {
            client.Shutdown(SocketShutdown.Send);
            await TestServer.UntilAsync(() => serving.HasClientLeft);
        }

        FakeLogCollector logs = new();
        using LoggerFactory loggers = new([new FakeLoggerProvider(logs)]);
        using KestrelLog requests = new(loggers, TimeProvider.System, id => id == serving.Id ? serving : null);
        ILogger kestrels = requests.CreateLogger("Microsoft.AspNetCore.Server.Kestrel.BadRequests");
        kestrels.LogDebug(new BadHttpRequestException("Malformed request."), "Connection id {ConnectionId}", serving.Id);

        Assert.Equal($"A request of {client.LocalEndPoint} could not be read, and was refused with 400 unless it had its answer already: Malformed request.{end}", Assert.Single(logs.GetSnapshot(), r => r.Id == EventIds.RequestRefused).Message);
    }
}
