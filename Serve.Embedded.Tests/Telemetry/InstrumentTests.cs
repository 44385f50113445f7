using System.Diagnostics.Metrics;
using System.Net;
using System.Reflection;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Serve.Embedded.Controller;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Controller;
using Serve.Embedded.Tests.Deployments;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class InstrumentTests : IDisposable
{
    private readonly TestTelemetry _test = new();

    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    public void Dispose() => _test.Dispose();

    [Fact]
    public void Meter_HasEveryInstrumentThatHasAName()
    {
        using ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        IMeterFactory meters = services.GetRequiredService<IMeterFactory>();
        List<string> published = [];
        using MeterListener listener = new()
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Scope == meters)
                {
                    published.Add(instrument.Name);
                }
            },
        };
        listener.Start();
        using ServeTelemetry telemetry = new(meters);

        IEnumerable<string> named = typeof(InstrumentNames).GetFields(BindingFlags.Public | BindingFlags.Static).Select(f => (string)f.GetRawConstantValue()!).Where(n => n.StartsWith("serve_", StringComparison.Ordinal));

        Assert.Equal(named.Order(StringComparer.Ordinal), published.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Calls_EndInEveryWay_AreCountedByHowTheyEnded()
    {
        TaskCompletionSource release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<string, string> deployment = new(
            async (_, request, _) =>
            {
                await release.Task;
                return request == "throw" ? throw new InvalidDataException() : request;
            },
            limit: 1,
            maxQueued: 2,
            telemetry: _test.Telemetry);
        await deployment.AddAsync("r0");
        using CancellationTokenSource leaves = new();
        Task<string> runs = deployment.Caller.CallAsync("runs", Deadline).AsTask();
        Task<string> left = deployment.Caller.CallAsync("leaves", leaves.Token).AsTask();
        Task<string> late = deployment.Caller.CallAsync("late", new CallOptions { Timeout = TimeSpan.FromSeconds(1) }, Deadline).AsTask();
        await Assert.ThrowsAsync<BackPressureException>(async () => await deployment.Caller.CallAsync("full", Deadline));
        string queued = _test.Read(InstrumentNames.Queued);
        string ongoing = _test.Read(InstrumentNames.Ongoing);
        await leaves.CancelAsync();
        deployment.Clock.Advance(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        await Assert.ThrowsAsync<TimeoutException>(() => late);
        release.SetResult();
        await runs;
        await Assert.ThrowsAsync<InvalidDataException>(async () => await deployment.Caller.CallAsync("throw", Deadline));
        deployment.Served.Gate.RemoveReplica(deployment.Served.Gate.Replicas[0]);
        deployment.Served.Gate.SetUnavailable(true);
        await Assert.ThrowsAsync<DeploymentUnavailableException>(async () => await deployment.Caller.CallAsync("gone", Deadline));

        Assert.Equal(("2", "r0 1"), (queued, ongoing));
        Assert.Equal(("0", ""), (_test.Read(InstrumentNames.Queued), _test.Read(InstrumentNames.Ongoing)));
        Assert.Equal("6", _test.Read(InstrumentNames.Arrived));
        Assert.Equal(("1", "1"), (_test.Read(InstrumentNames.Completed), _test.Read(InstrumentNames.Failed)));
        Assert.Equal("client_left 1, timed_out 1", _test.Read(InstrumentNames.Cancelled));
        Assert.Equal("queue_full 1, queue_time 0, unavailable 1, websockets 0", _test.Read(InstrumentNames.Refused));
    }

    [Fact]
    public async Task Calls_OfTwoRevisions_AreOneDeploymentsAndStayWhenTheOlderOneGoes()
    {
        TestDeployment<int, int> before = new((_, request, _) => new(request), telemetry: _test.Telemetry);
        await before.AddAsync();
        await before.Caller.CallAsync(1, Deadline);
        await before.Caller.CallAsync(2, Deadline);
        TestDeployment<int, int> after = new((_, request, _) => new(request), telemetry: _test.Telemetry);
        await after.AddAsync();
        await after.Caller.CallAsync(3, Deadline);

        string both = _test.Read(InstrumentNames.Completed);
        before.Served.Dispose();
        string one = _test.Read(InstrumentNames.Completed);
        after.Served.Dispose();

        Assert.Equal(("3", "3", ""), (both, one, _test.Read(InstrumentNames.Completed)));
    }

    [Fact]
    public async Task Calls_WaitAndWork_AreTimedApart()
    {
        Queue<TaskCompletionSource> ends = new([new(TaskCreationOptions.RunContinuationsAsynchronously), new(TaskCreationOptions.RunContinuationsAsynchronously)]);
        TaskCompletionSource[] all = [.. ends];
        using MetricCollector<double> waited = _test.Collect<double>(InstrumentNames.QueueLatency);
        using MetricCollector<double> worked = _test.Collect<double>(InstrumentNames.ProcessingLatency);
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<int, int> deployment = new(
            async (_, request, _) =>
            {
                Task ended = ends.Dequeue().Task;
                if (request == 2)
                {
                    begun.SetResult();
                }

                await ended;
                return request;
            },
            telemetry: _test.Telemetry);
        await deployment.AddAsync();
        Task<int> first = deployment.Caller.CallAsync(1, Deadline).AsTask();
        Task<int> second = deployment.Caller.CallAsync(2, Deadline).AsTask();

        deployment.Clock.Advance(TimeSpan.FromMilliseconds(30));
        all[0].SetResult();
        await first;
        await begun.Task.WaitAsync(Deadline);
        deployment.Clock.Advance(TimeSpan.FromMilliseconds(5));
        all[1].SetResult();
        await second;

        Assert.Equal([0.0, 30.0], waited.GetMeasurementSnapshot().Select(m => Math.Round(m.Value, 3)));
        Assert.Equal([30.0, 5.0], worked.GetMeasurementSnapshot().Select(m => Math.Round(m.Value, 3)));
        Assert.All(worked.GetMeasurementSnapshot(), m => Assert.Equal("app D", Tags(m.Tags, "application", "deployment")));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task CallAsync_TelemetryThatNobodyListensTo_AllocatesNothing(bool readsCounts)
    {
        TestDeployment<int, int> deployment = new((_, request, _) => new(request), limit: 4, telemetry: _test.Telemetry);
        await deployment.AddAsync();
        using MetricCollector<long>? counts = readsCounts ? _test.Collect<long>(InstrumentNames.Completed) : null;

        Assert.Equal(0, Allocations.Of(() => Call(10_000)));

        void Call(int times)
        {
            for (int i = 0; i < times; i++)
            {
                ValueTask<int> answer = deployment.Caller.CallAsync(i, CancellationToken.None);
                if (!answer.IsCompletedSuccessfully || answer.Result != i)
                {
                    Assert.Fail("The call did not complete at once.");
                }
            }
        }
    }

    [Fact]
    public async Task Http_Answered_IsCountedByRouteMethodAndStatus()
    {
        using MetricCollector<long> requests = _test.Collect<long>(InstrumentNames.HttpRequests);
        using MetricCollector<long> errors = _test.Collect<long>(InstrumentNames.HttpErrors);
        using MetricCollector<double> latency = _test.Collect<double>(InstrumentNames.HttpRequestLatency);
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:says", app => app.Add<HttpRequest, string>("Says", _ => new Says()));
        await using TestServer server = await TestServer.StartAsync(
            registry, new() { Applications = [new() { Name = "says", RoutePrefix = "/says", ImportPath = "test:says" }] }, telemetry: _test.Telemetry);

        await server.Client.GetStringAsync("/says/a/b", Deadline);
        using HttpRequestMessage strange = new(new HttpMethod("BREW"), "/says");
        using HttpResponseMessage brewed = await server.Client.SendAsync(strange, Deadline);
        using HttpResponseMessage nowhere = await server.Client.GetAsync("/nowhere/at/all", Deadline);
        await server.Client.GetStringAsync("/-/healthz", Deadline);
        requests.RecordObservableInstruments();
        errors.RecordObservableInstruments();
        await server.StopAsync();

        Assert.Equal(HttpStatusCode.OK, brewed.StatusCode);
        Assert.Equal([" GET  404", "/says GET says 200", "/says _OTHER says 200"], requests.GetMeasurementSnapshot().Select(m => Tags(m.Tags, "route", "method", "application", "status_code")));
        Assert.Equal([" GET  404"], errors.GetMeasurementSnapshot().Select(m => Tags(m.Tags, "route", "method", "application", "error_code")));
        Assert.Equal(3, latency.GetMeasurementSnapshot().Count);
        Assert.All(latency.GetMeasurementSnapshot(), m => Assert.True(m.Value > 0));
    }

    [Fact]
    public async Task Http_OfAHost_IsMeasuredByTheHostsMeterFactory()
    {
        MetricCollector<long>? requests = null;
        await using (TestServer server = await TestServer.EmbedAsync(
            new(),
            new(),
            build: builder => builder.Services.AddServe(serve => serve.AddApplication("says", "/says", app => app.Add<HttpRequest, string>("Says", _ => new Says()))),
            map: app =>
            {
                requests = TestTelemetry.Collect<long>(app.Services.GetRequiredService<IMeterFactory>(), InstrumentNames.HttpRequests);
                app.MapServe("/ml/{tenant}");
            }))
        {
            await server.Client.GetStringAsync("/ml/one/says/b", Deadline);

            // A request is counted when it is over, and before the next one of its connection.
            using HttpResponseMessage next = await server.Client.GetAsync("/elsewhere", Deadline);
            requests!.RecordObservableInstruments();
        }

        using (requests)
        {
            Assert.Equal(["/says GET says 200"], requests.GetMeasurementSnapshot().Select(m => Tags(m.Tags, "route", "method", "application", "status_code")));
        }
    }

    [Fact]
    public async Task Batches_AreMeasuredBySizeWaitAndWork()
    {
        using MetricCollector<int> size = _test.Collect<int>(InstrumentNames.BatchSize);
        using MetricCollector<double> wait = _test.Collect<double>(InstrumentNames.BatchWait);
        using MetricCollector<double> work = _test.Collect<double>(InstrumentNames.BatchExecution);
        using TestBatcher batcher = new(telemetry: _test.Telemetry);
        Task<string>[] callers = batcher.Call([1, 2, 3]);

        batcher.Pass(10);
        batcher.Pass(4);
        batcher.Batches[0].End();
        await Task.WhenAll(callers).WaitAsync(Deadline);

        Assert.Equal(3, size.LastMeasurement!.Value);
        Assert.Equal((10.0, 4.0), (Math.Round(wait.LastMeasurement!.Value, 3), Math.Round(work.LastMeasurement!.Value, 3)));
        Assert.Equal("app D", Tags(size.LastMeasurement.Tags, "application", "deployment"));
    }

    [Fact]
    public void Replicas_OfTwoRevisions_AreCountedByState()
    {
        ControllerHarness harness = new(telemetry: _test.Telemetry);
        harness.Apply(ControllerHarness.App(importPath: "test:solo", deployments: ControllerHarness.Front(2)));
        string starting = _test.Read(InstrumentNames.Replicas);
        harness.Run();
        string running = _test.Read(InstrumentNames.Replicas);
        string status = $"{_test.Read(InstrumentNames.TargetReplicas)} {_test.Read(InstrumentNames.DeploymentStatus)} {_test.Read(InstrumentNames.ApplicationStatus)}";

        // Other types: a new revision comes up beside the old one.
        harness.Apply(ControllerHarness.App(importPath: "test:other", deployments: [ControllerHarness.Front(1), ControllerHarness.Back(1)]));
        string both = _test.Read(InstrumentNames.Replicas);

        Assert.Equal(
            ("ABANDONED 0, DRAINING 0, RUNNING 0, STARTING 2, UPDATING 0", "ABANDONED 0, DRAINING 0, RUNNING 2, STARTING 0, UPDATING 0", "2 6 6"), (starting, running, status));
        Assert.Contains("RUNNING 2", both, StringComparison.Ordinal);
        Assert.Contains("STARTING 1", both, StringComparison.Ordinal);
        harness.Run();
        harness.Shutdown();
        harness.Run();
        Assert.Equal("", _test.Read(InstrumentNames.Replicas));
    }

    [Fact]
    public void ReplicaThatDies_IsARestart()
    {
        ControllerHarness harness = new(telemetry: _test.Telemetry);
        harness.Apply(ControllerHarness.App(importPath: "test:solo", deployments: ControllerHarness.Front(1)));
        harness.Run();
        DeploymentState front = harness.Acts.All.Last(a => a.Deployment.Name == "Front").Deployment;

        harness.Acts.Die(front, front.Replicas[0].Replica);
        harness.Step();

        Assert.Equal("died 1, unhealthy 0, worn_out 0", _test.Read(InstrumentNames.ReplicaRestarts));
    }

    [Fact]
    public async Task ReplicaThatComesUp_IsAStartWithItsTime()
    {
        using MetricCollector<double> latency = _test.Collect<double>(InstrumentNames.ReplicaStartupLatency);
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:says", app => app.Add<HttpRequest, string>("Says", _ => new Says(), new() { NumReplicas = 2 }));

        await using TestServer server = await TestServer.StartAsync(registry, new() { Applications = [new() { Name = "says", ImportPath = "test:says" }] }, telemetry: _test.Telemetry);

        Assert.Equal("2", _test.Read(InstrumentNames.ReplicaStarts));
        Assert.Equal(2, latency.GetMeasurementSnapshot().Count);
    }

    [Fact]
    public void Dispose_OfAServerInAHost_LeavesNothingForTheHostsMeterToRead()
    {
        TestDeployment<int, int> deployment = new((_, request, _) => new(request), telemetry: _test.Telemetry);
        _test.Telemetry.Deployments.Elsewhere.Answered("GET", 404, route: null, latency: null);
        Assert.NotEqual("", _test.Read(InstrumentNames.Queued));
        Assert.NotEqual("", _test.Read(InstrumentNames.HttpRequests));

        _test.Telemetry.Dispose();

        Assert.Equal("", _test.Read(InstrumentNames.Queued));
        Assert.Equal("", _test.Read(InstrumentNames.HttpRequests));
        Assert.Equal(0, deployment.Served.Gate.Waiting);
    }

    private static string Tags(IReadOnlyDictionary<string, object?> tags, params string[] names)
    {
        Assert.Equal(names.Order(StringComparer.Ordinal), tags.Keys.Order(StringComparer.Ordinal));
        return string.Join(' ', names.Select(n => tags[n]));
    }

    private sealed class Says : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("said");
    }
}
