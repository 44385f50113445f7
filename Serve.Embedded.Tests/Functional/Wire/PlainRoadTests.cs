using System.Threading.Channels;
using Serve.Embedded.Config;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What ends requests early, and what becomes of their connections and permits: on the plain road, and the same on the long one wherever the injected clock reaches it.</summary>
public sealed class PlainRoadTests
{
    private const int Permits = 1;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Body_AfterItsHead_IsPassedOn(bool plain)
    {
        await using Site site = await Site.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();

        await client.SendAsync(Post(plain, 10));
        await client.SendAsync("hello");
        await UntilAsync(() => site.Gate.Free == 0);
        await client.SendAsync("there");
        Call call = await site.NextAsync();

        Assert.Equal("hellothere", await call.Side.ReadExactlyAsync(10));
        await call.AnswerAsync("fine");
        Assert.EndsWith("\r\n\r\nfine", await client.ReadUntilAsync("fine"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Body_NeverWhole_Is408ByTheClockAndGivesItsPermitBack()
    {
        await using Site site = await Site.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        DateTimeOffset began = site.Time.GetUtcNow();

        await client.SendAsync(Post(plain: true, 10) + "hello");
        await UntilAsync(() => site.Gate.Free == 0);
        string response = await site.PassTimeAsync(client.ReadToEndAsync());

        Assert.StartsWith("HTTP/1.1 408 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", response, StringComparison.Ordinal);
        Assert.True(site.Time.GetUtcNow() - began >= TimeSpan.FromSeconds(5));
        await site.PermitIsBackAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_LeavesWhileItsRequestRuns_ClosesTheWorkersConnection(bool plain)
    {
        await using Site site = await Site.StartAsync();
        RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        Call call = await site.NextAsync();

        client.Dispose();

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
        await using Site site = await Site.StartAsync();
        RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        await client.ReadUntilAsync("hello");

        client.Dispose();

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
        await using Site site = await Site.StartAsync();
        using RawConnection first = await site.Server.ConnectAsync();
        await first.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        RawConnection second = await site.Server.ConnectAsync();
        await second.SendAsync(Get(plain));
        await UntilAsync(() => site.Gate.Waiting == 1);

        second.Dispose();

        await UntilAsync(() => site.Gate.Waiting == 0);
        await site.LoggedAsync(499);
        await call.AnswerAsync("fine");
        await first.ReadUntilAsync("fine");
        await site.PermitIsBackAsync();
        Assert.Equal((1, 1, 1), (site.Counts.Cancelled, site.Counts.Completed, site.Counts.Started));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_WhileRunning_Is408AndClosesTheWorkersConnection(bool plain)
    {
        await using Site site = await Site.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) });
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        Call call = await site.NextAsync();

        string response = await site.PassTimeAsync(client.ReadToEndAsync());

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
        await using Site site = await Site.StartAsync();
        using RawConnection first = await site.Server.ConnectAsync();
        await first.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        using RawConnection second = await site.Server.ConnectAsync();
        await second.SendAsync(Get(plain, "x-request-timeout-seconds: 2\r\n"));
        await UntilAsync(() => site.Gate.Waiting == 1);

        string response = await site.PassTimeAsync(second.ReadUntilAsync(" timed out after 2"));

        Assert.StartsWith("HTTP/1.1 408 ", response, StringComparison.Ordinal);
        await call.AnswerAsync("fine");
        await first.ReadUntilAsync("fine");
        await site.PermitIsBackAsync();
        Assert.Equal((0, 1, 1), (site.Gate.Waiting, site.Counts.TimedOut, site.Counts.Started));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RequestTimeout_AfterTheResponseHasBegun_BreaksItOff(bool plain)
    {
        await using Site site = await Site.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2) });
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        await client.ReadUntilAsync("hello");

        Assert.Equal("", await site.PassTimeAsync(client.ReadToEndAsync()));

        await call.Side.ClosedAsync().WaitAsync(TestServer.Deadline);
        await site.PermitIsBackAsync();
        Assert.Equal(1, site.Counts.TimedOut);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task StreamTimeout_ReplacesTheRequests(bool plain)
    {
        await using Site site = await Site.StartAsync(http: new() { RequestTimeout = TimeSpan.FromSeconds(2), StreamTimeout = TimeSpan.FromSeconds(20) });
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await client.ReadUntilAsync("hello");

        site.Time.Advance(TimeSpan.FromSeconds(19));
        await call.Side.SendAsync("5\r\nthere\r\n");
        await client.ReadUntilAsync("there");
        Assert.Equal("", await site.PassTimeAsync(client.ReadToEndAsync()));

        await site.PermitIsBackAsync();
        Assert.Equal(1, site.Counts.TimedOut);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Queue_WaitedTooLong_IsRefused(bool plain)
    {
        await using Site site = await Site.StartAsync(d => d with { MaxQueueWait = TimeSpan.FromSeconds(2) });
        using RawConnection first = await site.Server.ConnectAsync();
        await first.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        using RawConnection second = await site.Server.ConnectAsync();
        await second.SendAsync(Get(plain));
        await UntilAsync(() => site.Gate.Waiting == 1);

        string response = await site.PassTimeAsync(second.ReadUntilAsync("\r\n\r\n"));

        AssertRefused(response);
        await call.AnswerAsync("fine");
        await first.ReadUntilAsync("fine");
        await site.PermitIsBackAsync();
        Assert.Equal(1, site.Counts.Refused.QueueTime);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Queue_Full_IsRefusedAndKeepsTheConnection(bool plain)
    {
        await using Site site = await Site.StartAsync(d => d with { MaxQueuedRequests = 0 });
        using RawConnection first = await site.Server.ConnectAsync();
        await first.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        using RawConnection second = await site.Server.ConnectAsync();

        await second.SendAsync(Get(plain));
        string response = await second.ReadUntilAsync("\r\n\r\n");

        AssertRefused(response);
        Assert.DoesNotContain("Connection: close", response, StringComparison.Ordinal);
        await call.AnswerAsync("first");
        await first.ReadUntilAsync("first");
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
        await using Site site = await Site.StartAsync(d => d with { MaxQueuedRequests = 0 });
        using RawConnection first = await site.Server.ConnectAsync();
        await first.SendAsync(Get(true));
        Call call = await site.NextAsync();
        using RawConnection second = await site.Server.ConnectAsync();

        await second.SendAsync(Post(plain: true, 5) + body);
        string response = closes ? await second.ReadToEndAsync() : await second.ReadUntilAsync("\r\n\r\n");

        AssertRefused(response);
        Assert.Equal(closes, response.Contains("\r\nConnection: close\r\n", StringComparison.Ordinal));
        await call.AnswerAsync("first");
    }

    [Theory]
    [InlineData(true, "POST", null)]
    [InlineData(false, "POST", null)]
    [InlineData(true, "GET", RetryMode.Never)]
    [InlineData(false, "GET", RetryMode.Never)]
    public async Task Worker_DiesUnderARequestThatMayNotBeRepeated_Is502(bool plain, string method, object? retry)
    {
        await using Site site = await Site.StartAsync(d => d with { Worker = d.Worker! with { Retry = (RetryMode?)retry } });
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain, method: method));
        (await site.NextAsync()).Close();

        string response = await client.ReadUntilAsync("\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 502 ", response, StringComparison.Ordinal);
        await site.PermitIsBackAsync();
        await site.LoggedAsync(502);
        Assert.Equal(1, site.Counts.Failed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_DiesUnderARequestThatMayBeRepeated_IsAskedAgain(bool plain)
    {
        await using Site site = await Site.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        (await site.NextAsync()).Close();

        await (await site.PassTimeAsync(site.NextAsync())).AnswerAsync("again");

        Assert.StartsWith("HTTP/1.1 200 ", await client.ReadUntilAsync("again"), StringComparison.Ordinal);
        await site.PermitIsBackAsync();
        Assert.Equal((0, 1), (site.Counts.Failed, site.Counts.Completed));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Worker_ClosesAKeptConnection_NobodySeesIt(bool plain)
    {
        await using Site site = await Site.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        Call call = await site.NextAsync();
        await call.Side.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
        await client.ReadUntilAsync("first");

        // At once, and not when the script comes to it: a POST that is sent before may not be repeated, and gets a 502.
        call.Side.Dispose();
        call.Close();

        await client.SendAsync(Get(plain, method: "POST"));
        await (await site.NextAsync()).AnswerAsync("second");

        Assert.StartsWith("HTTP/1.1 200 ", await client.ReadUntilAsync("second"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connection_Quiet_EndsByTheClock()
    {
        await using Site site = await Site.StartAsync(http: new() { KeepAliveTimeout = TimeSpan.FromSeconds(7) });
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(true));
        await (await site.NextAsync()).AnswerAsync("fine");
        await client.ReadUntilAsync("fine");
        DateTimeOffset began = site.Time.GetUtcNow();

        Assert.Equal("", await site.PassTimeAsync(client.ReadToEndAsync()));

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
        await using Site site = await Site.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain, "Connection: close\r\n"));
        Call call = await site.NextAsync();
        Task sending = call.Side.SendAsync($"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{before}{new string('x', 3_000_000)}{after}");

        string response = await client.ReadToEndAsync();
        await sending;

        Assert.Equal(3_000_000, response[response.IndexOf("\r\n\r\n", StringComparison.Ordinal)..].Count(c => c == 'x'));
        await site.PermitIsBackAsync();
    }

    [Fact]
    public async Task Client_TakesNothingOfItsResponse_IsBrokenOffByTheClock()
    {
        await using Site site = await Site.StartAsync();
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(true));
        Call call = await site.NextAsync();
        Task sending = call.Side.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n{new string('x', 30_000_000)}");

        await site.PassTimeAsync(site.LoggedAsync(499));

        await site.PermitIsBackAsync();
        await Assert.ThrowsAsync<System.Net.Sockets.SocketException>(() => sending);
        Assert.Equal(1, site.Counts.Cancelled);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Drain_RunningRequest_IsAnsweredAndItsConnectionAndIdleOnesEnd(bool plain)
    {
        await using Site site = await Site.StartAsync(d => d with { GracefulShutdownTimeout = TimeSpan.FromHours(10) });
        using RawConnection idle = await site.Server.ConnectAsync();
        await idle.SendAsync(Get(plain));
        await (await site.NextAsync()).AnswerAsync("idle");
        await idle.ReadUntilAsync("idle");
        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(Get(plain));
        Call call = await site.NextAsync();

        Task stop = site.Server.StopAsync();
        Assert.Equal("", await idle.ReadToEndAsync());
        await call.AnswerAsync("last");
        string response = await client.ReadToEndAsync();
        await stop;

        Assert.StartsWith("HTTP/1.1 200 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", response, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\nlast", response, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AccessLog_OfBothRoads_HasTheSameFields()
    {
        await using Site site = await Site.StartAsync();
        foreach (bool plain in new[] { true, false })
        {
            using RawConnection client = await site.Server.ConnectAsync();
            await client.SendAsync(Get(plain, "X-Request-ID: theirs\r\n"));
            await (await site.NextAsync()).AnswerAsync("fine");
            await client.ReadUntilAsync("fine");
        }

        await UntilAsync(() => site.Server.LogsOf(EventIds.RequestHandled).Count() == 2);
        string[] lines = [.. site.Server.LogsOf(EventIds.RequestHandled).Select(r => $"{r.Category} {string.Join(' ', r.StructuredState!.Where(s => !s.Key.Contains("atency", StringComparison.Ordinal) && !s.Key.Contains("Ms", StringComparison.Ordinal)))}")];
        Assert.Equal(lines[1], lines[0]);
        Assert.Contains("theirs", lines[0], StringComparison.Ordinal);
    }

    private static string Get(bool plain, string headers = "", string method = "GET") => $"{method} / HTTP/1.1\r\nHost: a\r\n{(plain ? "" : "x-session-id: a\r\n")}{headers}\r\n";

    private static string Post(bool plain, int length) => Get(plain, $"Content-Length: {length}\r\n", "POST");

    private static void AssertRefused(string response)
    {
        Assert.StartsWith("HTTP/1.1 503 ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nRetry-After: ", response, StringComparison.Ordinal);
        Assert.Contains("\r\nX-Request-Not-Run: ?1\r\n", response, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("\r\nX-Request-ID: ", response, StringComparison.OrdinalIgnoreCase);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    /// <summary>A request at the worker, which the test answers.</summary>
    private sealed class Call(WorkerSide side)
    {
        private readonly TaskCompletionSource<bool> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public WorkerSide Side => side;

        /// <summary>Whether the connection goes on.</summary>
        public Task<bool> Done => _done.Task;

        public async Task AnswerAsync(string body)
        {
            await side.AnswerAsync(body);
            _done.SetResult(true);
        }

        public void Close() => _done.SetResult(false);
    }

    private sealed class Site : IAsyncDisposable
    {
        private readonly Channel<Call> _calls = Channel.CreateUnbounded<Call>();
        private readonly TaskCompletionSource<bool> _ended = new();

        private Site() => Worker = new(AnswerAsync);

        public ScriptedWorker Worker { get; }

        public ManualTimeProvider Time { get; } = new();

        public TestServer Server { get; private set; } = null!;

        public AdmissionGate Gate => Server.Server.Status.Applications[0].Deployments[0].Served.Gate;

        public HandleCounts Counts => Gate.Handles[0].Counts;

        public static async Task<Site> StartAsync(Func<DeploymentConfig, DeploymentConfig>? change = null, HttpOptionsConfig? http = null)
        {
            Site site = new();
            DeploymentConfig deployment = WorkerInTest.Deployment(site.Worker) with { MaxOngoingRequests = Permits };
            Task<TestServer> starting = WorkerInTest.StartAsync(WorkerInTest.Config(change?.Invoke(deployment) ?? deployment, http), site.Time);
            site.Server = await site.PassTimeAsync(starting);
            return site;
        }

        public async Task<Call> NextAsync() => await _calls.Reader.ReadAsync(TestServer.Deadline);

        /// <summary>Lets the clock run until this is done.</summary>
        public async Task<T> PassTimeAsync<T>(Task<T> done)
        {
            await PassTimeAsync((Task)done);
            return await done;
        }

        public async Task PassTimeAsync(Task done)
        {
            while (!done.IsCompleted)
            {
                TestServer.Deadline.ThrowIfCancellationRequested();
                Time.Advance(TimeSpan.FromMilliseconds(50));
                await Task.Yield();
            }

            await done;
        }

        public Task PermitIsBackAsync() => UntilAsync(() => Gate.Free == Permits);

        public Task LoggedAsync(int status) => UntilAsync(() => Server.LogsOf(EventIds.RequestHandled).Any(r => r.Message.Contains($" {status}", StringComparison.Ordinal)));

        public async ValueTask DisposeAsync()
        {
            _ended.SetResult(false);
            await Server.DisposeAsync();
            await Worker.DisposeAsync();
        }

        private async Task AnswerAsync(WorkerSide side)
        {
            Call call;
            do
            {
                await side.ReadHeadAsync();
                call = new(side);
                _calls.Writer.TryWrite(call);
            }
            while (await await Task.WhenAny(call.Done, _ended.Task));
        }
    }
}
