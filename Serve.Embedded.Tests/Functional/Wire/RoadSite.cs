using System.Threading.Channels;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>A server with one permit for each worker, its clock, its clients and its workers: all of them the test's.</summary>
internal sealed class RoadSite : IAsyncDisposable
{
    private const int Permits = 1;

    private readonly Channel<RoadCall> _calls = Channel.CreateUnbounded<RoadCall>();
    private readonly TaskCompletionSource<bool> _ended = new();
    private readonly WorkersInTest _workers;

    private RoadSite(int workers) => _workers = new(workers, AnswerAsync);

    public ManualTimeProvider Time { get; } = new();

    /// <summary>As it was started.</summary>
    public ServeConfig Config { get; private set; } = null!;

    public TestServer Server { get; private set; } = null!;

    public AdmissionGate Gate => Server.Server.Status.Applications[0].Deployments[0].Served.Gate;

    public HandleCounts Counts => Gate.Handles[0].Counts;

    /// <param name="change">To the deployment.</param>
    /// <param name="http">Options of the data port.</param>
    /// <param name="workers">How many there are. Each replica has its own; the last has all that come later.</param>
    /// <param name="registry">What is compiled in.</param>
    /// <param name="telemetry">Who listens; <see langword="null"/> = nobody.</param>
    public static async Task<RoadSite> StartAsync(
        Func<DeploymentConfig, DeploymentConfig>? change = null, HttpOptionsConfig? http = null, int workers = 1, DeploymentRegistry? registry = null, ServeTelemetry? telemetry = null)
    {
        RoadSite site = new(workers);

        // How long a process takes to start, and a check to be answered, is not the injected clock's matter.
        DeploymentConfig deployment = WorkerInTest.Deployment(site._workers.Command) with { MaxOngoingRequests = Permits, HealthCheckPeriod = TimeSpan.FromHours(10) };
        deployment = deployment with { Worker = deployment.Worker with { StartupTimeout = TimeSpan.FromHours(10) } };
        site.Config = WorkerInTest.Config(change?.Invoke(deployment) ?? deployment, http);
        site.Server = await site.PassTimeAsync(TestServer.StartAsync(registry ?? new(), site.Config, site.Time, telemetry));
        Assert.Empty(site.Server.Outcome.Failures);
        return site;
    }

    public static string Get(bool plain, string headers = "", string method = "GET") => $"{method} / HTTP/1.1\r\nHost: a\r\n{(plain ? "" : "x-session-id: a\r\n")}{headers}\r\n";

    public static string Post(bool plain, int length) => Get(plain, $"Content-Length: {length}\r\n", "POST");

    /// <summary>The configuration with another deployment.</summary>
    public ServeConfig Changed(Func<DeploymentConfig, DeploymentConfig> change) =>
        Config with { Applications = [Config.Applications[0] with { Deployments = [change(Config.Applications[0].Deployments[0])] }] };

    /// <summary>The next request that has come to a worker.</summary>
    public async Task<RoadCall> NextAsync() => await _calls.Reader.ReadAsync(TestServer.Deadline);

    /// <summary>A client of its own sends a request, which is at a worker now and holds a permit.</summary>
    public async Task<RoadCall> RunAsync(bool plain, string headers = "", string method = "GET")
    {
        RawConnection client = await Server.ConnectAsync();
        await client.SendAsync(Get(plain, headers, method));
        RoadCall call = await NextAsync();
        call.Client = client;
        return call;
    }

    /// <summary>A client of its own sends a request, which waits now.</summary>
    public async Task<RawConnection> WaitAsync(bool plain, string headers = "", string method = "GET")
    {
        int waiting = Gate.InOrder;
        RawConnection client = await Server.ConnectAsync();
        await client.SendAsync(Get(plain, headers, method));
        await TestServer.UntilAsync(() => Gate.InOrder == waiting + 1);
        return client;
    }

    public WorkersInTest Workers => _workers;

    /// <summary>Lets the clock run until this is done.</summary>
    public async Task<T> PassTimeAsync<T>(Task<T> done)
    {
        await PassTimeAsync((Task)done);
        return await done;
    }

    public Task PassTimeAsync(Task done) => Time.PassUntilAsync(done, TimeSpan.FromMilliseconds(50), TestServer.Deadline);

    public Task PermitIsBackAsync() => TestServer.UntilAsync(() => Gate.Free == Permits);

    public Task LoggedAsync(int status) => TestServer.UntilAsync(() => Server.LogsOf(EventIds.RequestHandled).Any(r => r.Message.Contains($" {status}", StringComparison.Ordinal)));

    /// <summary>One request was logged, with this status.</summary>
    public async Task OnlyLoggedAsync(int status)
    {
        await TestServer.UntilAsync(() => Server.LogsOf(EventIds.RequestHandled).Any());
        Assert.Contains($" {status} ", Assert.Single(Server.LogsOf(EventIds.RequestHandled)).Message, StringComparison.Ordinal);
    }

    public async ValueTask DisposeAsync()
    {
        _ended.SetResult(false);
        await Server.DisposeAsync();
        await _workers.DisposeAsync();
    }

    private async Task AnswerAsync(int worker, WorkerSide side)
    {
        RoadCall call;
        do
        {
            call = new(worker, side, await side.ReadHeadAsync());
            _calls.Writer.TryWrite(call);
        }
        while (await await Task.WhenAny(call.Done, _ended.Task));
    }
}
