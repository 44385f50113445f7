using System.Net;
using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Admin.Metrics;

/// <summary><c>/metrics</c> over real sockets, read by a strict reader.</summary>
public sealed partial class MetricsTests : IDisposable
{
    private const string Path = "/metrics";

    /// <summary>Only where there are workers, or a log of the server's own.</summary>
    private static readonly string[] NotHere = [InstrumentNames.ReplicaMemory, $"{InstrumentNames.LogLinesDropped}_total"];

    private readonly TestTelemetry _test = new();

    private static DeploymentRegistry Registry => new DeploymentRegistry().AddBuiltIn()
        .AddApplication("test:says", app => app.Add<HttpRequest, string>("Says", _ => new Says()))
        .AddApplication("test:says2", app => app.Add<HttpRequest, string>("Says", _ => new Says()))
        .AddApplication("test:batch", app => app.AddBatch<HttpRequest, string>("Batch", _ => new Batch(), new() { MaxBatchSize = 2, BatchWaitTimeout = TimeSpan.Zero }));

    public void Dispose() => _test.Dispose();

    /// <summary>The table in the documentation is what there is: names, types, labels.</summary>
    [Fact]
    public async Task Metrics_AreThoseOfTheDocumentation()
    {
        await using TestServer server = await StartAsync(App("says"), new() { Name = "batch", RoutePrefix = "/batch", ImportPath = "test:batch" });
        using HttpClient admin = ClientOf(server);
        await ReadAsync(admin);
        await AskAsync(server, "/says");
        await AskAsync(server, "/batch");
        await AskAsync(server, "/nowhere");

        Exposition read = await ReadAsync(admin);

        string[] documented = [.. Row().Matches(Repository.Read("docs/observability.md"))
            .Select(m => $"{m.Groups["name"].Value} {m.Groups["type"].Value} {string.Join(' ', Quoted().Matches(m.Groups["labels"].Value).Select(l => l.Groups[1].Value).Order(StringComparer.Ordinal))}")];
        Assert.All(NotHere, name => Assert.Contains(documented, d => d.StartsWith($"{name} ", StringComparison.Ordinal)));
        Assert.Equal(
            documented.Where(d => !NotHere.Contains(d.Split(' ')[0])).Order(StringComparer.Ordinal),
            read.Families.Select(f => $"{f.Name} {f.Type} {string.Join(' ', f.LabelNames.Order(StringComparer.Ordinal))}").Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Metrics_RequestsBeforeAndAfterTheFirstRead_AreAllCountedAndThoseAfterItTimed()
    {
        await using TestServer server = await StartAsync(App("says"));
        using HttpClient admin = ClientOf(server);
        await AskAsync(server, "/says");

        Exposition first = await ReadAsync(admin);
        await AskAsync(server, "/says/a");
        await AskAsync(server, "/says/b", HttpMethod.Post);
        Exposition second = await ReadAsync(admin);

        (string, string)[] get = [("application", "says"), ("route", "/says"), ("method", "GET"), ("status_code", "200")];
        Assert.Equal((1, 2), (first.Sum("serve_num_http_requests_total", get), second.Sum("serve_num_http_requests_total", get)));
        Assert.Equal((0, 1), (first.Sum("serve_http_request_latency_ms_count", get), second.Sum("serve_http_request_latency_ms_count", get)));
        Assert.Equal((1, 3), (first.Sum("serve_deployment_request_counter_total"), second.Sum("serve_deployment_request_counter_total")));
        Assert.Equal(2, second.Sum("serve_deployment_processing_latency_ms_count", ("deployment", "Says")));
        Assert.Equal(2, second.Sum("serve_request_router_fulfillment_time_ms_bucket", ("deployment", "Says"), ("le", "0.1")));
        Assert.Equal(1, second.Sum("serve_deployment_replica_healthy"));
        Assert.Equal((5, 100), (second.Sum("serve_deployment_max_ongoing_requests"), second.Sum("serve_deployment_max_queued_requests")));
        Assert.Equal(1, second.Sum("serve_num_replicas", ("state", "RUNNING")));
        Assert.True(second.Sum("process_open_fds") is > 3 and < 100_000);
        Assert.True(second.Sum("process_start_time_seconds") > 1_700_000_000);
    }

    /// <summary>One that goes on under a new route and new code keeps its counts; one that goes takes all of its series with it.</summary>
    [Fact]
    public async Task Metrics_Reloads_CountersGoOnAndWhatIsGoneLeavesNothing()
    {
        await using TestServer server = await StartAsync(App("says"), App("other"));
        using HttpClient admin = ClientOf(server);
        await ReadAsync(admin);
        await AskAsync(server, "/says");
        await AskAsync(server, "/other");
        Exposition before = await ReadAsync(admin);

        await server.ApplyAsync(new() { Applications = [App("says") with { ImportPath = "test:says2", RoutePrefix = "/now" }] });
        await AskAsync(server, "/now");
        Exposition after = await ReadAsync(admin);
        while (after.Samples.Any(s => s.Labels.GetValueOrDefault("application") == "other"))
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            after = await ReadAsync(admin);
        }

        Assert.Equal(2, after.Sum("serve_num_http_requests_total", ("application", "says"), ("route", "/now")));
        Assert.Equal(0, after.Sum("serve_num_http_requests_total", ("application", "says"), ("route", "/says")));
        Assert.Equal(2, after.Sum("serve_deployment_request_counter_total", ("application", "says")));
        Assert.Equal(2, after.Sum("serve_deployment_processing_latency_ms_count", ("application", "says")));
        Assert.Equal(2, after.Sum("serve_generation"));
        Assert.True(before.Samples.Count(s => s.Labels.GetValueOrDefault("application") == "other") > 20);
    }

    [Fact]
    public async Task Metrics_ReloadThatFails_IsToldUntilOneIsGood()
    {
        await using TestServer server = await StartAsync(App("says"));
        using HttpClient admin = ClientOf(server);
        await UntilAsync(admin, "serve_config_last_reload_successful", 1);

        await server.ApplyAsync(new() { Applications = [App("says"), new() { Name = "bad", RoutePrefix = "/bad", ImportPath = "builtin:faulty", Args = "{\"fail_start\":true}", Deployments = [new() { Name = "Faulty", MaxConstructorRetryCount = 1 }] }] });
        await UntilAsync(admin, "serve_config_last_reload_successful", 0);
        await server.ApplyAsync(new() { Applications = [App("says")] });
        await UntilAsync(admin, "serve_config_last_reload_successful", 1);
        server.Deployer.NoteRefused();

        Exposition refused = await ReadAsync(admin);
        Assert.Equal((0, 3), (refused.Sum("serve_config_last_reload_successful"), refused.Sum("serve_generation")));
        Assert.True(refused.Sum("serve_config_last_reload_success_timestamp_seconds") > 1_700_000_000);
    }

    [Fact]
    public async Task Metrics_OtherMethods_AreAnsweredAsOnEveryPath()
    {
        await using TestServer server = await StartAsync(App("says"));
        using HttpClient admin = ClientOf(server);
        using HttpRequestMessage asks = new(HttpMethod.Head, Path);
        using HttpResponseMessage head = await admin.SendAsync(asks, TestServer.Deadline);
        bool isTimed = _test.Telemetry.HearsCalls;
        using HttpResponseMessage posted = await admin.PostAsync(Path, new StringContent(""), TestServer.Deadline);
        using HttpResponseMessage got = await admin.GetAsync(Path, TestServer.Deadline);

        Assert.Equal((HttpStatusCode.OK, false), (head.StatusCode, isTimed));
        Assert.Empty(await head.Content.ReadAsByteArrayAsync(TestServer.Deadline));
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", head.Content.Headers.ContentType!.ToString());
        Assert.Equal(head.Content.Headers.ContentType, got.Content.Headers.ContentType);
        Assert.Equal((HttpStatusCode.MethodNotAllowed, "GET, HEAD"), (posted.StatusCode, string.Join(", ", posted.Content.Headers.Allow)));
        Assert.True(_test.Telemetry.HearsCalls);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Metrics_TokenFile_IsAskedFor(bool embedded)
    {
        using TempFolder folder = new();
        ServeConfig config = new() { Admin = new() { Port = 0, TokenFile = folder.Write("token", "s3cret") }, Applications = [App("says")] };
        await using TestServer server = embedded
            ? await TestServer.EmbedAsync(Registry, config, map: app =>
            {
                app.MapServe();
                app.MapServeAdmin("/serve-admin");
            })
            : await TestServer.StartAsync(Registry, config, telemetry: _test.Telemetry);
        using HttpClient admin = embedded ? server.NewClient() : ClientOf(server);
        string path = embedded ? $"/serve-admin{Path}" : Path;

        using HttpResponseMessage stranger = await admin.GetAsync(path, TestServer.Deadline);
        admin.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "s3cret");
        await AskAsync(server, "/says");
        Exposition read = Exposition.Parse(await admin.GetStringAsync(path, TestServer.Deadline));

        Assert.Equal((HttpStatusCode.Unauthorized, "Bearer"), (stranger.StatusCode, stranger.Headers.WwwAuthenticate.ToString()));
        Assert.Equal(1, read.Sum("serve_num_http_requests_total", ("application", "says")));
    }

    private Task<TestServer> StartAsync(params ApplicationConfig[] applications) => TestServer.StartAsync(Registry, new() { Applications = [.. applications] }, telemetry: _test.Telemetry);

    private static ApplicationConfig App(string name) => new() { Name = name, RoutePrefix = $"/{name}", ImportPath = "test:says" };

    private static HttpClient ClientOf(TestServer server) => new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new(server.Server.AdminAddresses[0]) };

    /// <summary>A request is counted when it is over, which may be after its client has read the answer, and before the next one of its connection.</summary>
    private static async Task AskAsync(TestServer server, string path, HttpMethod? method = null)
    {
        using HttpRequestMessage request = new(method ?? HttpMethod.Get, path);
        using HttpResponseMessage response = await server.Client.SendAsync(request, TestServer.Deadline);
        await server.Client.GetStringAsync("/-/healthz", TestServer.Deadline);
    }

    /// <summary>How a goal has ended is written down after whoever waits for it is told.</summary>
    private static async Task UntilAsync(HttpClient admin, string name, double expected)
    {
        while ((await ReadAsync(admin)).Sum(name) != expected)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
        }
    }

    private static async Task<Exposition> ReadAsync(HttpClient admin) => Exposition.Parse(await admin.GetStringAsync(Path, TestServer.Deadline));

    [GeneratedRegex(@"^\| `(?<name>[a-z_]+)` \| (?<type>counter|gauge|histogram)\*?(, ours)? \|(?<labels>[^|]*)\| .+ \|$", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex("`([a-z_]+)`")]
    private static partial Regex Quoted();

    private sealed class Says : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("said");
    }

    private sealed class Batch : IBatchDeployment<HttpRequest, string>
    {
        public ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<HttpRequest> requests, CancellationToken cancellationToken) => new([.. requests.Select(_ => "one")]);
    }
}
