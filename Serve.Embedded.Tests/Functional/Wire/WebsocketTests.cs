using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Upgraded connections to a worker: what they hold, what bounds them, and what a replica that stops does with them.</summary>
public sealed class WebsocketTests : IAsyncDisposable
{
    private const string Upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    private const string Plain = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    private readonly ScriptedWorker _worker;
    private int _asked;

    public WebsocketTests() => _worker = new(async side =>
    {
        while (true)
        {
            string head = await side.ReadHeadAsync();
            Interlocked.Increment(ref _asked);
            if (!head.Contains("\r\nUpgrade: websocket\r\n", StringComparison.Ordinal))
            {
                await side.AnswerAsync("plain");
                continue;
            }

            if (head.Contains("X-Refuse: 1", StringComparison.Ordinal))
            {
                await side.SendAsync("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                continue;
            }

            await side.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            while (true)
            {
                await side.ReadThroughAsync("ping");
                await side.SendAsync("pong");
            }
        }
    });

    [Fact]
    public async Task Upgrade_NoBound_HoldsItsPermit()
    {
        await using TestServer server = await StartAsync(maxWebsockets: null);
        using RawConnection socket = await OpenAsync(server);

        Assert.StartsWith("HTTP/1.1 503 ", await AskAsync(server, Plain), StringComparison.Ordinal);
        await PingAsync(socket);
    }

    [Fact]
    public async Task Upgrade_WithinItsBound_HoldsNoPermit()
    {
        await using TestServer server = await StartAsync(maxWebsockets: 2);
        using RawConnection first = await OpenAsync(server);
        using RawConnection second = await OpenAsync(server);

        // The client knows of its upgrade an instant before the server has taken its permit back; a handler that answers has its connection.
        await PingAsync(first);
        await PingAsync(second);

        Assert.EndsWith("\r\n\r\nplain", await AskAsync(server, Plain), StringComparison.Ordinal);
        await PingAsync(first);
        await PingAsync(second);
        Replica replica = server.Server.Status.Applications[0].Deployments[0].Replicas[0];
        Assert.Equal((0, 2), (replica.Permits.Ongoing, replica.Upgrades.Count));
    }

    [Fact]
    public async Task Upgrade_OverItsBound_IsRefusedAtOnceAndTheWorkerIsNotAsked()
    {
        await using TestServer server = await StartAsync(maxWebsockets: 1);
        RawConnection first = await OpenAsync(server);
        int asked = Volatile.Read(ref _asked);

        string refused = await AskAsync(server, Upgrade.Replace("Connection: Upgrade", "Connection: Upgrade, close", StringComparison.Ordinal));

        Assert.StartsWith("HTTP/1.1 503 ", refused, StringComparison.Ordinal);
        Assert.Contains("\r\nRetry-After: 1\r\n", refused, StringComparison.Ordinal);
        Assert.Contains("max_websockets = 1 on each of 1 replica(s)", refused, StringComparison.Ordinal);
        Assert.Equal(asked, Volatile.Read(ref _asked));
        first.Dispose();
        await UntilAsync(() => Counts(server) is { Completed: 1, Shed: 1 });
        using RawConnection next = await OpenAsync(server);
        await PingAsync(next);
    }

    [Fact]
    public async Task Upgrade_WorkerDoesNotTakeIt_GivesItsPlaceBack()
    {
        await using TestServer server = await StartAsync(maxWebsockets: 1);

        for (int i = 0; i < 3; i++)
        {
            Assert.StartsWith("HTTP/1.1 403 ", await AskAsync(server, Upgrade.Replace("Host: a", "Host: a\r\nX-Refuse: 1", StringComparison.Ordinal).Replace("Upgrade\r\n", "Upgrade, close\r\n", StringComparison.Ordinal)), StringComparison.Ordinal);
        }

        using RawConnection socket = await OpenAsync(server);
        await PingAsync(socket);
    }

    [Fact]
    public async Task MaxWebsockets_Lowered_EvictsNobodyAndRefusesTheNext()
    {
        await using TestServer server = await StartAsync(maxWebsockets: 2);
        using RawConnection first = await OpenAsync(server);
        using RawConnection second = await OpenAsync(server);

        ApplyOutcome outcome = await server.ApplyAsync(Config(maxWebsockets: 1));

        Assert.Empty(outcome.Failures);
        await PingAsync(first);
        await PingAsync(second);
        Assert.Contains("max_websockets = 1", await AskAsync(server, Upgrade.Replace("Upgrade\r\n", "Upgrade, close\r\n", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    public async Task Stop_AnUpgradedConnectionIsOpen_WaitsForIt(int? maxWebsockets)
    {
        await using TestServer server = await StartAsync(maxWebsockets, grace: 50);
        using RawConnection socket = await OpenAsync(server);

        Task<ApplyOutcome> removed = server.ApplyAsync(Config(maxWebsockets) with { Applications = [] });
        await UntilAsync(() => !server.Server.Status.Applications.Any(a => a.Deployments.Any(d => d.Replicas.Any(r => r.State == ReplicaState.Running))));
        await PingAsync(socket);
        socket.Dispose();

        await removed;
        await UntilAsync(() => server.Server.Status.Applications.Count == 0);
    }

    [Fact]
    public async Task Stop_ItsTimeIsOver_TheConnectionIsCutOff()
    {
        await using TestServer server = await StartAsync(maxWebsockets: 1, grace: 0.1);
        using RawConnection socket = await OpenAsync(server);

        Task<ApplyOutcome> removed = server.ApplyAsync(Config(maxWebsockets: 1) with { Applications = [] });

        Assert.Equal("", await socket.ReadToEndAsync());
        await removed;
        await UntilAsync(() => server.Server.Status.Applications.Count == 0);
    }

    [Fact]
    public async Task Upgrade_OfAHandlerThatIsCompiledIn_IsBoundedByWhatItsCodeSays()
    {
        await using TestServer server = await TestServer.StartAsync(
            new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Echo(), new() { MaxOngoingRequests = 1, MaxQueuedRequests = 0, MaxWebsockets = 1 })),
            Probe.Config());
        using RawConnection socket = await OpenAsync(server);
        await UntilAsync(() => server.Server.Status.Applications[0].Deployments[0].Replicas[0].Permits.Ongoing == 0);

        Assert.EndsWith("\r\n\r\nplain", await AskAsync(server, Plain), StringComparison.Ordinal);
        Assert.Contains("max_websockets = 1", await AskAsync(server, Upgrade.Replace("Upgrade\r\n", "Upgrade, close\r\n", StringComparison.Ordinal)), StringComparison.Ordinal);
        await socket.SendAsync("pong");
        Assert.Equal("pong", await socket.ReadUntilAsync("pong"));
    }

    public ValueTask DisposeAsync() => _worker.DisposeAsync();

    private ServeConfig Config(int? maxWebsockets, double grace = 1) => WorkerInTest.Config(WorkerInTest.Deployment(_worker) with
    {
        MaxOngoingRequests = 1,
        MaxQueuedRequests = 0,
        MaxWebsockets = maxWebsockets,
        GracefulShutdownTimeout = TimeSpan.FromSeconds(grace),
    });

    private Task<TestServer> StartAsync(int? maxWebsockets, double grace = 1) => WorkerInTest.StartAsync(Config(maxWebsockets, grace));

    private static async Task<RawConnection> OpenAsync(TestServer server)
    {
        // The permit of the one before comes back a moment after its 101 has arrived.
        await UntilAsync(() => server.Server.Status.Applications[0].Deployments[0].Replicas[0].Permits.Ongoing == 0);
        RawConnection socket = await server.ConnectAsync();
        await socket.SendAsync(Upgrade);
        Assert.StartsWith("HTTP/1.1 101 ", await socket.ReadUntilAsync("\r\n\r\n"), StringComparison.Ordinal);
        return socket;
    }

    private static async Task PingAsync(RawConnection socket)
    {
        await socket.SendAsync("ping");
        Assert.Equal("pong", await socket.ReadUntilAsync("pong"));
    }

    private static async Task<string> AskAsync(TestServer server, string request)
    {
        using RawConnection client = await server.ConnectAsync();
        await client.SendAsync(request);
        return await client.ReadToEndAsync();
    }

    /// <summary>Sends back what comes on an upgraded connection.</summary>
    private sealed class Echo : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
        {
            IHttpUpgradeFeature upgrade = context.Features.GetRequiredFeature<IHttpUpgradeFeature>();
            if (!upgrade.IsUpgradableRequest)
            {
                context.Response.ContentLength = 5;
                await context.Response.WriteAsync("plain", cancellationToken);
                return;
            }

            using Stream stream = await upgrade.UpgradeAsync();
            await stream.CopyToAsync(stream, cancellationToken);
        }
    }

    private static HandleCounts Counts(TestServer server) => server.Server.Status.Applications[0].Deployments[0].Served.Gate.Handles[0].Counts;

    private static async Task UntilAsync(Func<bool> holds)
    {
        while (!holds())
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
