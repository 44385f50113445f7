using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Stress;

/// <summary><c>/metrics</c> is read without a pause while clients ask and the configuration changes: no counter of what stays ever falls, and in the end everything adds up to what the clients sent.</summary>
public sealed class ScrapeStressTests : IDisposable
{
    private const int Clients = 4;
    private const int RequestsPerClient = 1_000;
    private const int Reloads = 60;

    private readonly TestTelemetry _test = new();

    public void Dispose() => _test.Dispose();

    [Fact]
    public async Task Scrapes_DuringReloadsUnderLoad_AddUpToWhatTheClientsSent()
    {
        DeploymentRegistry registry = new DeploymentRegistry()
            .AddApplication("test:even", app => app.Add<HttpRequest, string>("Says", _ => new Says()))
            .AddApplication("test:odd", app => app.Add<HttpRequest, string>("Says", _ => new Says()));
        await using TestServer server = await TestServer.StartAsync(registry, ConfigOf(0), telemetry: _test.Telemetry);
        using HttpClient admin = new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new(server.Server.AdminAddresses[0]) };
        await ReadAsync(admin);
        using CancellationTokenSource enough = CancellationTokenSource.CreateLinkedTokenSource(TestServer.Deadline);

        Task<int> reading = ReadAllAsync(admin, enough.Token);
        Task<Dictionary<int, int>[]> clients = Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => Task.Run(() => AskAsync(server), TestServer.Deadline)));
        for (int i = 1; i <= Reloads; i++)
        {
            Assert.Empty((await server.ApplyAsync(ConfigOf(i))).Failures);
        }

        Dictionary<int, int>[] answers = await clients;
        await enough.CancelAsync();
        int reads = await reading;
        Exposition last = await SettledAsync(admin);

        Assert.True(reads > 2, $"{reads} reads");
        foreach (int status in answers.SelectMany(a => a.Keys).Distinct())
        {
            Assert.Equal(answers.Sum(a => a.GetValueOrDefault(status)), last.Sum("serve_num_http_requests_total", ("application", "stays"), ("status_code", $"{status}")));
        }

        Assert.Equal(Clients * RequestsPerClient, last.Sum("serve_num_http_requests_total", ("application", "stays")));
        Assert.Equal(Clients * RequestsPerClient, last.Sum("serve_http_request_latency_ms_count", ("application", "stays")));
        Assert.Equal(Clients * RequestsPerClient, last.Sum("serve_num_router_requests_total", ("application", "stays")));
        Assert.Equal(answers.Sum(a => a.GetValueOrDefault(200)), last.Sum("serve_deployment_request_counter_total", ("application", "stays")));
        Assert.Equal(answers.Sum(a => a.GetValueOrDefault(503)), last.Sum("serve_num_refused_requests_total", ("application", "stays")));
        Assert.Equal(last.Sum("serve_deployment_request_counter_total", ("application", "stays")), last.Sum("serve_deployment_processing_latency_ms_count", ("application", "stays")));
        Assert.Equal(0, last.Sum("serve_replica_processing_queries", ("application", "stays")));
        Assert.Equal(Reloads + 1, last.Sum("serve_generation"));
    }

    /// <summary>New code each time, and beside it an application that comes and goes.</summary>
    private static ServeConfig ConfigOf(int reload)
    {
        ApplicationConfig stays = new()
        {
            Name = "stays",
            RoutePrefix = "/",
            ImportPath = reload % 2 == 0 ? "test:even" : "test:odd",
            Deployments = [new() { Name = "Says", MaxOngoingRequests = 1, MaxQueuedRequests = reload % 3 }],
        };
        return new() { Applications = reload % 2 == 0 ? [stays] : [stays, stays with { Name = $"comes{reload}", RoutePrefix = "/comes" }] };
    }

    private static async Task<Dictionary<int, int>> AskAsync(TestServer server)
    {
        Dictionary<int, int> answers = [];
        using HttpClient client = server.NewClient();
        for (int i = 0; i < RequestsPerClient; i++)
        {
            using HttpResponseMessage response = await client.GetAsync("/", TestServer.Deadline);
            int status = (int)response.StatusCode;
            answers[status] = answers.GetValueOrDefault(status) + 1;
        }

        // A request is counted when it is over, and before the next one of its connection.
        await client.GetStringAsync("/-/healthz", TestServer.Deadline);
        return answers;
    }

    private static async Task<int> ReadAllAsync(HttpClient admin, CancellationToken enough)
    {
        Dictionary<string, double> before = [];
        int reads = 0;
        for (; !enough.IsCancellationRequested; reads++)
        {
            Exposition read = await ReadAsync(admin);
            foreach (ExposedSample sample in read.Families.Where(f => f.Type is "counter" or "histogram").SelectMany(f => f.Samples).Where(s => s.Labels.GetValueOrDefault("application") == "stays"))
            {
                string series = $"{sample.Name} {sample.Key()}";
                Assert.True(sample.Value >= before.GetValueOrDefault(series), $"{series} fell from {before.GetValueOrDefault(series)} to {sample.Value}");
                before[series] = sample.Value;
            }
        }

        return reads;
    }

    /// <summary>Once what is on its way out is gone.</summary>
    private static async Task<Exposition> SettledAsync(HttpClient admin)
    {
        while (true)
        {
            Exposition read = await ReadAsync(admin);
            if (!read.Samples.Any(s => s.Labels.GetValueOrDefault("application")?.StartsWith("comes", StringComparison.Ordinal) == true))
            {
                return read;
            }

            TestServer.Deadline.ThrowIfCancellationRequested();
        }
    }

    private static async Task<Exposition> ReadAsync(HttpClient admin) => Exposition.Parse(await admin.GetStringAsync("/metrics", TestServer.Deadline));

    private sealed class Says : IDeployment<HttpRequest, string>
    {
        public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
        {
            await Task.Yield();
            return "said";
        }
    }
}
