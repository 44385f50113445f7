using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;
using Serve.Embedded.Config;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Functional.Binary;
using static Serve.Embedded.Tests.Functional.Wire.RoadSite;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What ends requests early, and what becomes of their connections and permits: on the plain road, and the same on the long one wherever the injected clock reaches it.</summary>
public sealed class PlainRoadTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Body_AfterItsHead_IsPassedOn(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();

        await client.SendAsync(Post(plain, 10));
        await client.SendAsync("hello");
        await TestServer.UntilAsync(() => site.Gate.Free == 0);
        await client.SendAsync("there");
        RoadCall call = await site.NextAsync();

        Assert.Equal("hellothere", await call.Side.ReadExactlyAsync(10));
        await call.AnswerAsync("fine");
        Assert.EndsWith("\r\n\r\nfine", await client.ReadUntilAsync("fine"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Body_NeverWhole_Is408ByTheClockAndGivesItsPermitBack()
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        DateTimeOffset began = site.Time.GetUtcNow();

        await client.SendAsync(Post(plain: true, 10) + "hello");
        await TestServer.UntilAsync(() => site.Gate.Free == 0);
        string response = await site.PassTimeAsync(client.ReadToEndAsync());

        Assert.StartsWith("HTTP/1.1 408 ", response, StringComparison.Ordinal);
        Assert.Contains("240 bytes per second", response, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", response, StringComparison.Ordinal);
        Assert.True(site.Time.GetUtcNow() - began >= TimeSpan.FromSeconds(5));
        await site.PermitIsBackAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_LeavesWhileItsRequestRuns_ClosesTheWorkersConnection(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        RoadCall call = await site.RunAsync(plain);

        call.Client.Dispose();

        await call.Side.ClosedAsync().WaitAsync(TestServer.Deadline);
        await site.PermitIsBackAsync();
        await site.LoggedAsync(499);
        Assert.Equal(1, site.Counts.Cancelled);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_LeavesWhileItIsAnswered_ClosesTheWorkersConnection(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        await call.Client.ReadUntilAsync("hello");

        call.Client.Dispose();

        await call.Side.ClosedAsync().WaitAsync(TestServer.Deadline);
        await site.PermitIsBackAsync();
        await site.LoggedAsync(499);
        Assert.Equal(1, site.Counts.Cancelled);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_LeavesWhileItsRequestWaits_LeavesTheQueue(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall first = await site.RunAsync(plain);
        RawConnection second = await site.WaitAsync(plain);

        second.Dispose();

        await TestServer.UntilAsync(() => site.Gate.InOrder == 0);
        await site.LoggedAsync(499);
        await first.EndAsync("fine");
        await site.PermitIsBackAsync();
        Assert.Equal((1, 1, 1), (site.Counts.Cancelled, site.Counts.Completed, site.Counts.Started));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_WhileRunning_Is408AndClosesTheWorkersConnection(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) });
        using RoadCall call = await site.RunAsync(plain);

        string response = await site.PassTimeAsync(call.Client.ReadToEndAsync());

        Assert.StartsWith("HTTP/1.1 408 ", response, StringComparison.Ordinal);
        Assert.Contains(" timed out after 2", response, StringComparison.Ordinal);
        await call.Side.ClosedAsync().WaitAsync(TestServer.Deadline);
        await site.PermitIsBackAsync();
        await site.LoggedAsync(408);
        Assert.Equal(1, site.Counts.TimedOut);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_WhileWaiting_Is408(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall first = await site.RunAsync(plain);
        using RawConnection second = await site.WaitAsync(plain, "x-request-timeout-seconds: 2\r\n");

        string response = await site.PassTimeAsync(second.ReadUntilAsync(" timed out after 2"));

        Assert.StartsWith("HTTP/1.1 408 ", response, StringComparison.Ordinal);
        await first.EndAsync("fine");
        await site.PermitIsBackAsync();
        Assert.Equal((0, 1, 1), (site.Gate.InOrder, site.Counts.TimedOut, site.Counts.Started));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_AfterTheResponseHasBegun_BreaksItOff(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) });
        using RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        await call.Client.ReadUntilAsync("hello");

        Assert.Equal("", await site.PassTimeAsync(call.Client.ReadToEndAsync()));

        await call.Side.ClosedAsync().WaitAsync(TestServer.Deadline);
        await site.PermitIsBackAsync();
        await site.OnlyLoggedAsync(200);
        Assert.Equal(1, site.Counts.TimedOut);
    }

    /// <summary>The client has not left: the log has the status that it was sent.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_BreaksOffItsResponse_TheClientIsCutOffAndTheLogDoesNotSayThatItLeft(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        RoadCall call = await site.NextAsync();
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        await client.ReadUntilAsync("hello");

        call.Close();

        Assert.Equal("", await client.ReadToEndAsync());
        await site.PermitIsBackAsync();
        await site.OnlyLoggedAsync(200);
        Assert.Equal((1, 0), (site.Counts.Failed, site.Counts.Cancelled));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StreamTimeout_ReplacesTheRequests(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2), StreamTimeout = TimeSpan.FromSeconds(20) });
        using RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await call.Client.ReadUntilAsync("hello");

        site.Time.Advance(TimeSpan.FromSeconds(19));
        await call.Side.SendAsync("5\r\nthere\r\n");
        await call.Client.ReadUntilAsync("there");
        Assert.Equal("", await site.PassTimeAsync(call.Client.ReadToEndAsync()));

        await site.PermitIsBackAsync();
        Assert.Equal(1, site.Counts.TimedOut);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Queue_WaitedTooLong_IsRefused(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { MaxQueueWait = TimeSpan.FromSeconds(2) });
        using RoadCall first = await site.RunAsync(plain);
        using RawConnection second = await site.WaitAsync(plain);

        string response = await site.PassTimeAsync(second.ReadUntilAsync("\r\n\r\n"));

        AssertRefused(response);
        await first.EndAsync("fine");
        await site.PermitIsBackAsync();
        Assert.Equal(1, site.Counts.Refused.QueueTime);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Queue_Full_IsRefusedAndKeepsTheConnection(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { MaxQueuedRequests = 0 });
        using RoadCall first = await site.RunAsync(plain);
        using RawConnection second = await site.Server.ConnectAsync();

        await second.SendAsync(Get(plain));
        string response = await second.ReadUntilAsync("\r\n\r\n");

        AssertRefused(response);
        Assert.DoesNotContain("Connection: close", response, StringComparison.Ordinal);
        await first.EndAsync("first");
        await site.PermitIsBackAsync();
        await second.SendAsync(Get(plain));
        await (await site.NextAsync()).AnswerAsync("second");
        await second.ReadUntilAsync("second");
        Assert.Equal(1, site.Counts.Refused.QueueFull);
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("hello", false)]
    public async Task Queue_Full_ClosesTheConnectionOnlyIfTheBodyHasNotCome(string body, bool closes)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { MaxQueuedRequests = 0 });
        using RoadCall first = await site.RunAsync(true);
        using RawConnection second = await site.Server.ConnectAsync();

        await second.SendAsync(Post(plain: true, 5) + body);
        string response = closes ? await second.ReadToEndAsync() : await second.ReadUntilAsync("\r\n\r\n");

        AssertRefused(response);
        Assert.Equal(closes, response.Contains("\r\nConnection: close\r\n", StringComparison.Ordinal));
        await first.AnswerAsync("first");
    }

    [Theory]
    [InlineData(true, "POST", null)]
    [InlineData(false, "POST", null)]
    [InlineData(true, "GET", RetryMode.Never)]
    [InlineData(false, "GET", RetryMode.Never)]
    public async Task Worker_DiesUnderARequestThatMayNotBeRepeated_Is502(bool plain, string method, object? retry)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { Worker = d.Worker! with { Retry = (RetryMode?)retry } });
        using RoadCall call = await site.RunAsync(plain, method: method);
        call.Close();

        string response = await call.Client.ReadUntilAsync("\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 502 ", response, StringComparison.Ordinal);
        await site.PermitIsBackAsync();
        await site.LoggedAsync(502);
        Assert.Equal(1, site.Counts.Failed);
    }

    /// <summary>
    /// The worker reads the request each time, and closes the connection. Where a request may be repeated, the end of a kept connection says nothing of the worker, and is not counted: the last repetition
    /// goes over one that was kept or a new one, and over no other.
    /// </summary>
    [Theory]
    [InlineData(true, "GET", null, 3)]
    [InlineData(false, "GET", null, 3)]
    [InlineData(true, "GET", RetryMode.Never, 1)]
    [InlineData(false, "GET", RetryMode.Never, 1)]
    [InlineData(true, "POST", null, 1)]
    [InlineData(false, "POST", null, 1)]
    [InlineData(true, "POST", RetryMode.Always, 2)]
    [InlineData(false, "POST", RetryMode.Always, 2)]
    public async Task Worker_ClosesAKeptConnectionUnderARequest_GetsItAsOftenAsRetrySays(bool plain, string method, object? retry, int times)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { Worker = d.Worker! with { Retry = (RetryMode?)retry } });
        using RoadCall kept = await site.RunAsync(plain);
        await kept.EndAsync("kept");
        await site.PermitIsBackAsync();
        using RoadCall call = await site.RunAsync(plain, method: method);
        Assert.Same(kept.Side, call.Side);
        call.Close();
        Task<string> response = call.Client.ReadUntilAsync("\r\n\r\n");
        Task passing = site.PassTimeAsync(response);

        int got = 1;
        for (Task<RoadCall> again = site.NextAsync(); await Task.WhenAny(again, response) == again; again = site.NextAsync())
        {
            (await again).Close();
            got++;
        }

        await passing;
        Assert.StartsWith("HTTP/1.1 502 ", await response, StringComparison.Ordinal);
        Assert.Equal(times, got);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_TakesNoConnectionForLong_Is503AndNothingWasRun(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using IDisposable full = site.Workers.Clog(0);
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain, method: "POST"));

        string response = await site.PassTimeAsync(client.ReadUntilAsync("\r\n\r\nThe worker did not take a new connection within 5 s"));

        Assert.StartsWith("HTTP/1.1 503 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nX-Request-Not-Run: ?1\r\n", response, StringComparison.Ordinal);
        await site.PermitIsBackAsync();
        await site.LoggedAsync(503);
        Assert.StartsWith("The request was answered with 503. ", Assert.Single(site.Server.LogsOf(EventIds.WorkerFailed)).Message, StringComparison.Ordinal);
        Assert.Equal(1, site.Counts.Failed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_TakesNoConnectionAfterItHasDroppedTheRequest_Is502(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(plain);
        using IDisposable full = site.Workers.Clog(0);
        call.Close();

        string response = await site.PassTimeAsync(call.Client.ReadUntilAsync("\r\n\r\nThe worker did not take a new connection within 5 s"));

        Assert.StartsWith("HTTP/1.1 502 ", response, StringComparison.Ordinal);
        Assert.DoesNotContain("X-Request-Not-Run", response, StringComparison.Ordinal);
    }

    /// <summary>Long before its health is due to be checked.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_LivesAndNobodyIsThereToTakeConnections_IsReplacedAndTheRequestIsAnswered(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(workers: 2);
        Replica unwell = site.Gate.Replicas[0];
        site.Workers.Hide(0);
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain, method: "POST"));

        for (int failed = 1; failed <= 3; failed++)
        {
            await TestServer.UntilAsync(() =>
            {
                site.Time.Advance(TimeSpan.Zero);
                return site.Server.LogsOf(EventIds.HealthCheckFailed).Count() == failed;
            });
            site.Time.Advance(TimeSpan.FromSeconds(failed < 3 ? 1 : 0));
        }

        // The log has the last check before the replica is out: if time passed meanwhile, the request would use up its attempts.
        await unwell.Withdrawn.WaitAsync(TestServer.Deadline);
        RoadCall call = await site.PassTimeAsync(site.NextAsync());
        await call.AnswerAsync("here");

        Assert.Equal(1, call.Worker);
        Assert.StartsWith("HTTP/1.1 200 ", await client.ReadUntilAsync("here"), StringComparison.Ordinal);
    }

    /// <summary>The checks of load balancers are such requests, and many servers refuse an empty one.</summary>
    [Theory]
    [InlineData("GET / HTTP/1.0\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: \r\n\r\n")]
    public async Task Request_NamesNoHost_TheWorkerGetsTheAddressThatItsClientFound(string request)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();

        await client.SendAsync(request);
        RoadCall call = await site.NextAsync();
        await call.AnswerAsync("fine");

        Assert.StartsWith($"GET / HTTP/1.1\r\nHost: 127.0.0.1:{site.Server.Address.Port}\r\n", call.Head, StringComparison.Ordinal);
        Assert.Equal(1, Regex.Count(call.Head, "(?m)^Host:"));
        await client.ReadUntilAsync("fine");
    }

    /// <summary>Somebody holds its output, so that its end is not told before time passes.</summary>
    [Fact]
    public async Task Worker_HasEndedAndThatIsNotToldYet_IsNotCalledUnhealthy()
    {
        await using RoadSite site = await RoadSite.StartAsync(workers: 2);
        int worker = site.Gate.Replicas[0].Process!.ProcessId!.Value;
        using SafeFileHandle output = File.OpenHandle($"/proc/{worker}/fd/1", FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        site.Workers.Hide(0);
        Assert.True(NativeProcess.Signal(worker, SignalNames.Kill));
        await TestServer.UntilAsync(() => !Directory.Exists($"/proc/{worker}"));
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain: true));
        await TestServer.UntilAsync(() => site.Server.LogsOf(EventIds.RequestRepeats).Any());

        await site.PassTimeAsync(TestServer.UntilAsync(() => site.Server.LogsOf(EventIds.ReplicaDied).Any()));

        Assert.Empty(site.Server.LogsOf(EventIds.HealthCheckFailed));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_DiesUnderARequestThatMayBeRepeated_IsAskedAgain(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(plain);
        call.Close();

        await (await site.PassTimeAsync(site.NextAsync())).AnswerAsync("again");

        Assert.StartsWith("HTTP/1.1 200 ", await call.Client.ReadUntilAsync("again"), StringComparison.Ordinal);
        await site.PermitIsBackAsync();
        Assert.Equal((0, 1), (site.Counts.Failed, site.Counts.Completed));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_ClosesAKeptConnection_NobodySeesIt(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(plain);
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
        await call.Client.ReadUntilAsync("first");

        // At once, and not when the script comes to it: a POST that is sent before may not be repeated, and gets a 502.
        call.Side.End();
        call.Close();

        await call.Client.SendAsync(Get(plain, method: "POST"));
        await (await site.NextAsync()).AnswerAsync("second");

        Assert.StartsWith("HTTP/1.1 200 ", await call.Client.ReadUntilAsync("second"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connection_Quiet_EndsByTheClock()
    {
        await using RoadSite site = await RoadSite.StartAsync(http: new() { KeepAliveTimeout = TimeSpan.FromSeconds(7) });
        using RoadCall call = await site.RunAsync(true);
        await call.EndAsync("fine");
        DateTimeOffset began = site.Time.GetUtcNow();

        Assert.Equal("", await site.PassTimeAsync(call.Client.ReadToEndAsync()));

        Assert.True(site.Time.GetUtcNow() - began >= TimeSpan.FromSeconds(7));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Connection_RequestsOfBothKindsInOneBreath_AreAnsweredInOrder(int longOnes)
    {
        await using RecordingWorker worker = new();
        await using TestServer server = await WorkerInTest.StartAsync(worker.Worker);
        using RawConnection client = await server.ConnectAsync();
        string chunked = string.Concat(Enumerable.Repeat("POST / HTTP/1.1\r\nHost: a\r\nX-Mark: long\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", longOnes));

        await client.SendAsync(Get(true, "X-Mark: one\r\n") + Get(true, "X-Mark: two\r\nContent-Length: 3\r\n", "POST") + "abc" + chunked + Get(true, "X-Mark: four\r\n") + Get(true, "X-Mark: end\r\nConnection: close\r\n"));

        string[] marks = ["one", "two", .. Enumerable.Repeat("long", longOnes), "four", "end"];
        Assert.Equal(marks, ReceivedResponse.All(await client.ReadToEndAsync()).Select(r => r.Body));
        Assert.Equal(marks, worker.Requests.Select(r => r.Mark));
        Assert.Equal(["", "abc", "hello"], worker.Requests.Take(3).Select(r => r.Body));
        Assert.Empty(worker.Malformed);
    }

    [Fact]
    public async Task Head_InTwoPackets_IsAnsweredWhereverItIsCut()
    {
        await using RecordingWorker worker = new();
        await using TestServer server = await WorkerInTest.StartAsync(worker.Worker);
        string request = Get(true, "X-Mark: one\r\nContent-Length: 2\r\nConnection: close\r\n", "POST") + "ab";
        for (int cut = 1; cut < request.Length; cut++)
        {
            using RawConnection client = await server.ConnectAsync();
            await client.SendAsync(request[..cut]);
            await client.SendAsync(request[cut..]);
            Assert.Equal("one", Assert.Single(ReceivedResponse.All(await client.ReadToEndAsync())).Body);
        }

        Assert.All(worker.Requests, r => Assert.Equal("ab", r.Body));
    }

    [Theory]
    [InlineData(true, "Content-Length: 3000000", "", "")]
    [InlineData(false, "Content-Length: 3000000", "", "")]
    [InlineData(true, "Transfer-Encoding: chunked", "2dc6c0\r\n", "\r\n0\r\n\r\n")]
    [InlineData(false, "Transfer-Encoding: chunked", "2dc6c0\r\n", "\r\n0\r\n\r\n")]
    public async Task Response_LargerThanAnyBuffer_ComesWhole(bool plain, string framing, string before, string after)
    {
        await using RoadSite site = await RoadSite.StartAsync();
        using RoadCall call = await site.RunAsync(plain, "Connection: close\r\n");
        Task sending = call.Side.SendAsync($"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{before}{new string('x', 3_000_000)}{after}");

        string response = await call.Client.ReadToEndAsync();
        await sending;

        Assert.Equal(3_000_000, response[response.IndexOf("\r\n\r\n", StringComparison.Ordinal)..].Count(c => c == 'x'));
        await site.PermitIsBackAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Drain_RunningRequest_IsAnsweredAndItsConnectionAndIdleOnesEnd(bool plain)
    {
        await using RoadSite site = await RoadSite.StartAsync(d => d with { GracefulShutdownTimeout = TimeSpan.FromHours(10) });
        using RoadCall idle = await site.RunAsync(plain);
        await idle.EndAsync("idle");
        using RoadCall call = await site.RunAsync(plain);

        Task stop = site.Server.StopAsync();
        Assert.Equal("", await idle.Client.ReadToEndAsync());
        await call.AnswerAsync("last");
        string response = await call.Client.ReadToEndAsync();
        await stop;

        Assert.StartsWith("HTTP/1.1 200 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", response, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\nlast", response, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AccessLog_OfBothRoads_HasTheSameFields()
    {
        await using RoadSite site = await RoadSite.StartAsync();
        foreach (bool plain in new[] { true, false })
        {
            using RoadCall call = await site.RunAsync(plain, "X-Request-ID: theirs\r\n");
            await call.EndAsync("fine");
        }

        await TestServer.UntilAsync(() => site.Server.LogsOf(EventIds.RequestHandled).Count() == 2);
        string[] lines = [.. site.Server.LogsOf(EventIds.RequestHandled).Select(r => $"{r.Category} {string.Join(' ', r.StructuredState!.Where(s => !s.Key.Contains("atency", StringComparison.Ordinal) && !s.Key.Contains("Ms", StringComparison.Ordinal)))}")];
        Assert.Equal(lines[1], lines[0]);
        Assert.Contains("theirs", lines[0], StringComparison.Ordinal);
    }

    private static void AssertRefused(string response)
    {
        Assert.StartsWith("HTTP/1.1 503 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nRetry-After: ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nX-Request-Not-Run: ?1\r\n", response, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("\r\nX-Request-ID: ", response, StringComparison.OrdinalIgnoreCase);
    }
}
