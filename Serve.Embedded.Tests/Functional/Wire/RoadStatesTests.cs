using System.Diagnostics;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Handles;
using Serve.Embedded.Proxy;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using static Serve.Embedded.Tests.Functional.Wire.RoadSite;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What becomes of requests while applications, replicas and the server itself change under them, on both roads to a worker.</summary>
public sealed class RoadStatesTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Deployment_WithoutAReplicaThatStarts_IsUnavailable(bool plain)
    {
        ManualTimeProvider time = new();
        DeploymentConfig deployment = WorkerInTest.Deployment(["false"]) with { MaxConstructorRetryCount = 1 };
        Task<TestServer> starting = TestServer.StartAsync(new(), WorkerInTest.Config(deployment), time);
        while (!starting.IsCompleted)
        {
            time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }

        await using TestServer server = await starting;
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync(Get(plain));
        string response = await client.ReadUntilAsync("says why.");

        Assert.StartsWith("HTTP/1.1 503 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nX-Request-Not-Run: ?1\r\n", response, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("Deployment 'w' of application 'default' is unavailable: its replicas cannot start", response, StringComparison.Ordinal);
        Assert.DoesNotContain("Connection: close", response, StringComparison.Ordinal);
        Assert.DoesNotContain("Retry-After", response, StringComparison.Ordinal);
        await client.SendAsync(Get(plain));
        await client.ReadUntilAsync("is unavailable");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Application_IsReplacedByAnotherWorkers_WhoWaitsGoesThere(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(Patient, workers: 2);
        using RoadCall first = await site.RunAsync(plain);
        using RawConnection second = await site.WaitAsync(plain);
        HandleCounts old = site.Counts;

        Task<ApplyOutcome> applied = site.Server.ApplyAsync(site.Changed(d => d with { Name = "other" }));
        RoadCall moved = await site.PassTimeAsync(site.NextAsync());
        await moved.AnswerAsync("moved");

        Assert.Equal((0, 1), (first.Worker, moved.Worker));
        Assert.EndsWith("\r\n\r\nmoved", await second.ReadUntilAsync("moved"), StringComparison.Ordinal);
        await site.PassTimeAsync(applied);
        Assert.Equal((2, 1, 1), (old.Arrived, old.Started, old.Refused.Unavailable));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Application_IsReplacedByACompiledInOne_WhoWaitsAndWhoComesOnOpenConnectionsGoesThere(bool plain)
    {
        Probe probe = new();
        await using RoadSite site = await RoadSite.StartAsync(Patient, new() { KeepAliveTimeout = TimeSpan.FromHours(10) }, registry: probe.Register());
        using RoadCall idle = await site.RunAsync(plain);
        await idle.EndAsync("idle");
        using RoadCall running = await site.RunAsync(plain);
        using RawConnection waiting = await site.WaitAsync(plain, "X-Request-ID: waits\r\nContent-Length: 5\r\n", "POST");
        await waiting.SendAsync("hello" + Get(plain, "X-Request-ID: behind\r\n"));

        Task<ApplyOutcome> applied = site.Server.ApplyAsync(site.Config with { Applications = Probe.Config().Applications });
        ProbeCall moved = await site.PassTimeAsync(probe.NextAsync());
        Assert.Equal(("POST", "waits", 5), (moved.Request.Method, (string?)moved.Request.Headers["X-Request-ID"], moved.Request.ContentLength));
        Assert.Equal("hello", await new StreamReader(moved.Request.Body).ReadToEndAsync(TestServer.Deadline));
        moved.Return("moved");
        (await probe.NextAsync()).Return("behind");
        string both = await waiting.ReadUntilAsync("\r\n\r\nbehind");
        Assert.Contains("\r\n\r\nmovedHTTP/1.1 200 ", both, StringComparison.Ordinal);
        await site.PassTimeAsync(applied);

        await idle.Client.SendAsync(Get(plain));
        (await probe.NextAsync()).Return("now");
        Assert.EndsWith("\r\n\r\nnow", await idle.Client.ReadUntilAsync("now"), StringComparison.Ordinal);
        await TestServer.UntilAsync(() => LinesOf(site, "waits") > 0 && LinesOf(site, "behind") > 0);
        Assert.Equal((1, 1), (LinesOf(site, "waits"), LinesOf(site, "behind")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Application_IsTakenAway_WhoWaitsAndWhoComesIsToldSo(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(Patient);
        using RoadCall first = await site.RunAsync(plain);
        using RawConnection second = await site.WaitAsync(plain);

        Task<ApplyOutcome> applied = site.Server.ApplyAsync(site.Config with { Applications = [] });
        while (await site.Server.Client.GetStringAsync("/-/routes", TestServer.Deadline) != "{}")
        {
            await Task.Yield();
        }

        using RawConnection third = await site.Server.ConnectAsync();
        await third.SendAsync(Get(plain));

        Assert.StartsWith("HTTP/1.1 404 ", await third.ReadUntilAsync("\r\n\r\n"), StringComparison.Ordinal);
        string unavailable = await site.PassTimeAsync(second.ReadUntilAsync("says why."));
        Assert.StartsWith("HTTP/1.1 503 ", unavailable, StringComparison.Ordinal);
        Assert.Contains("\r\nX-Request-Not-Run: ?1\r\n", unavailable, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("Deployment 'w' of application 'default' is unavailable: it is being removed, or the server ends. ", unavailable, StringComparison.Ordinal);
        Assert.DoesNotContain("Connection: close", unavailable, StringComparison.Ordinal);
        await site.PassTimeAsync(applied);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Replica_DiesUnderARequestThatMayBeRepeated_AnotherAnswersIt(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => Patient(d) with { NumReplicas = 2 }, workers: 3);
        using RoadCall call = await site.RunAsync(plain);

        await DieAsync(site, call);
        RoadCall again = await site.NextAsync();

        Assert.NotEqual(call.Worker, again.Worker);
        Assert.Equal(call.Head, again.Head);
        await again.AnswerAsync("again");
        Assert.StartsWith("HTTP/1.1 200 ", await call.Client.ReadUntilAsync("again"), StringComparison.Ordinal);
        Assert.Equal((0, 1, 1), (site.Counts.Failed, site.Counts.Completed, site.Counts.Arrived));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Replica_DiesUnderARequestThatMayNotBeRepeated_NoOtherGetsIt(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => Patient(d) with { NumReplicas = 2 }, workers: 3);
        using RoadCall call = await site.RunAsync(plain, method: "POST");

        await DieAsync(site, call);
        Task<RoadCall> another = site.NextAsync();
        Task<string> response = call.Client.ReadUntilAsync("\r\n\r\n");

        Assert.Same(response, await Task.WhenAny(response, another));
        Assert.StartsWith("HTTP/1.1 502 ", await response, StringComparison.Ordinal);
        Assert.DoesNotContain("X-Request-Not-Run", await response, StringComparison.OrdinalIgnoreCase);
        using RawConnection next = await site.Server.ConnectAsync();
        await next.SendAsync(Get(plain));
        Assert.StartsWith("GET ", (await another).Head, StringComparison.Ordinal);
        Assert.Equal(1, site.Counts.Failed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Replica_MustStop_ItsRequestIs503AndTheConnectionCloses(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        AdmissionGate gate = site.Gate;
        using RoadCall call = await site.RunAsync(plain);

        Task<ApplyOutcome> applied = site.Server.ApplyAsync(site.Config with { Applications = [] });
        string response = await site.PassTimeAsync(call.Client.ReadToEndAsync());

        Assert.StartsWith("HTTP/1.1 503 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", response, StringComparison.Ordinal);
        Assert.Contains("Deployment 'w' of application 'default' could not finish the request: its replica had to stop", response, StringComparison.Ordinal);
        Assert.DoesNotContain("X-Request-Not-Run", response, StringComparison.OrdinalIgnoreCase);
        await call.Side.ClosedAsync().WaitAsync(TestServer.Deadline);
        await site.PassTimeAsync(applied);
        await site.LoggedAsync(503);
        Assert.Equal((1, 1), (gate.Totals.Started, gate.Totals.Cancelled));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task MaxConnections_OneTooMany_IsRefusedAndThePlaceOfOneThatLeavesIsFree(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { MaxConnections = 1 });
        using RoadCall first = await site.RunAsync(plain);
        await first.EndAsync("first");
        using RawConnection second = await site.Server.ConnectAsync();
        await second.SendAsync(Get(plain));

        string refused = await second.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 503 ", refused, StringComparison.Ordinal);
        Assert.Contains("http_options.max_connections", refused, StringComparison.Ordinal);
        Assert.Equal(1, site.Counts.Arrived);
        first.Client.Dispose();
        await TestServer.UntilAsync(() => site.Server.Server.ConnectionCount == 0);
        using RoadCall third = await site.RunAsync(plain);
        await third.EndAsync("third");
    }

    [Theory]
    [InlineData(1, 5.0)]
    [InlineData(24_000, 100.0)]
    public void SlowClient_LargerPiece_HasMoreTime(long bytes, double seconds) => Assert.Equal(seconds, SlowClient.Allowed(bytes).TotalSeconds, precision: 1);

    [Fact]
    public async Task Client_TakesItsResponseSlowlyButTakesIt_IsNotCutOff()
    {
        // More than all buffers between the worker and the client hold, so that between two reads something of it was sent.
        const int Step = 16_000_000;
        const int Steps = 4;
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(true, "Connection: close\r\n");
        int armed = site.Time.ArmedTimers;
        Task sending = call.Side.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {Step * Steps}\r\n\r\n{new string('x', Step * Steps)}");
        long taken = 0;
        for (int step = 1; step < Steps; step++)
        {
            taken += await call.Client.SkipAsync(Step);

            // The server waits for the client, for the smallest piece more than this, and for all of them together less.
            await site.Time.WhenArmedAsync(armed + 1, TestServer.Deadline);
            site.Time.Advance(TimeSpan.FromSeconds(4));
        }

        taken += await call.Client.SkipAsync(int.MaxValue);
        await sending;

        Assert.InRange(taken, Step * Steps, (Step * Steps) + 1000);
        await site.LoggedAsync(200);
        Assert.Equal((1, 0), (site.Counts.Completed, site.Counts.Cancelled));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Drain_RequestsRunAndWait_AreAnsweredAndWhatComesBehindThemIsNotRun(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { GracefulShutdownTimeout = TimeSpan.FromHours(10) });
        using RoadCall first = await site.RunAsync(plain);
        using RawConnection second = await site.WaitAsync(plain);
        await second.SendAsync(Get(plain, "X-Behind: 1\r\n"));
        HandleCounts counts = site.Counts;

        Task stop = site.Server.StopAsync();
        await TestServer.UntilAsync(() => site.Server.Server.IsDraining);
        await first.AnswerAsync("first");
        await (await site.NextAsync()).AnswerAsync("second");
        string[] responses = [await first.Client.ReadToEndAsync(), await second.ReadToEndAsync()];
        await stop;

        Assert.All(responses, r => Assert.Contains("\r\nConnection: close\r\n", r, StringComparison.Ordinal));
        Assert.EndsWith("\r\n\r\nfirst", responses[0], StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\nsecond", responses[1], StringComparison.Ordinal);
        Assert.Equal((2, 2), (counts.Arrived, counts.Completed));
    }

    [Fact]
    public async Task Instruments_OfBothRoads_SayTheSame()
    {
        string[] plain = await MeasureAsync(plain: true);
        string[] other = await MeasureAsync(plain: false);

        Assert.Equal(other, plain);
        Assert.Contains("serve_deployment_request_counter: 2", plain);
        Assert.Contains("serve_deployment_error_counter: 1", plain);
        Assert.Contains("serve_num_cancelled_requests: client_left 1, timed_out 1", plain);
        Assert.Contains("serve_num_refused_requests: queue_full 1, queue_time 0, unavailable 0, websockets 0", plain);
        Assert.Contains("serve_num_http_requests: / GET 200 2, / GET 408 1, / GET 499 1, / GET 503 1, / POST 502 1", plain);
    }

    private static async Task<string[]> MeasureAsync(bool plain)
    {
        string[] counters = [InstrumentNames.HttpRequests, InstrumentNames.HttpErrors, InstrumentNames.Arrived, InstrumentNames.Completed, InstrumentNames.Failed, InstrumentNames.Cancelled, InstrumentNames.Refused, InstrumentNames.Queued, InstrumentNames.Ongoing];
        string[] histograms = [InstrumentNames.HttpRequestLatency, InstrumentNames.QueueLatency, InstrumentNames.ProcessingLatency];
        using TestTelemetry telemetry = new();
        MetricCollector<double>[] collectors = [.. histograms.Select(telemetry.Collect<double>)];
        await using RoadSite site = await RoadSite.StartAsync(d => Patient(d) with { MaxQueuedRequests = 1 }, telemetry: telemetry.Telemetry);

        using RoadCall first = await site.RunAsync(plain);
        RawConnection leaves = await site.WaitAsync(plain);
        using RawConnection refused = await site.Server.ConnectAsync();
        await refused.SendAsync(Get(plain));
        await refused.ReadUntilAsync("Retry after");
        leaves.Dispose();
        await site.LoggedAsync(499);
        using RawConnection waits = await site.WaitAsync(plain);
        await first.EndAsync("first");
        await (await site.NextAsync()).AnswerAsync("waits");
        await waits.ReadUntilAsync("waits");
        using RoadCall fails = await site.RunAsync(plain, method: "POST");
        fails.Close();
        await fails.Client.ReadUntilAsync("\r\n\r\n");
        using RoadCall late = await site.RunAsync(plain, "x-request-timeout-seconds: 2\r\n");
        await site.PassTimeAsync(late.Client.ReadToEndAsync());
        await TestServer.UntilAsync(() => site.Server.LogsOf(EventIds.RequestHandled).Count() == 6);

        string[] measured =
        [
            .. counters.Select(c => $"{c}: {telemetry.Read(c)}"),
            .. collectors.Select((c, i) => $"{histograms[i]}: {string.Join(", ", c.GetMeasurementSnapshot().Select(m => string.Join(' ', m.Tags.Where(t => t.Key != InstrumentNames.ReplicaTag).Select(t => $"{t.Key}={t.Value}"))).Order(StringComparer.Ordinal))}"),
        ];
        Array.ForEach(collectors, c => c.Dispose());
        return measured;
    }

    /// <summary>Neither who waits nor what runs is given up while the test is not yet there.</summary>
    private static DeploymentConfig Patient(DeploymentConfig deployment) => deployment with { GracefulShutdownTimeout = TimeSpan.FromMinutes(1), HealthCheckPeriod = TimeSpan.FromHours(10) };

    private static int LinesOf(RoadSite site, string id) => site.Server.LogsOf(EventIds.RequestHandled).Count(r => r.GetStructuredStateValue(nameof(AccessLogEntry.RequestId)) == id);

    /// <summary>The worker of a request dies, its connections with it.</summary>
    private static async Task DieAsync(RoadSite site, RoadCall call)
    {
        Replica replica = site.Gate.Replicas.Single(r => r.Ongoing == 1);
        using Process process = Process.GetProcessById(replica.Process!.ProcessId!.Value);
        process.Kill();
        await replica.Withdrawn.WaitAsync(TestServer.Deadline);
        call.Close();
    }
}
