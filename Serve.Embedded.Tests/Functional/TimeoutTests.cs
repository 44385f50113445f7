using System.Net;
using Serve.Embedded.Config;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional;

public abstract class TimeoutTests(ServerForm form)
{
    private static readonly HttpOptionsConfig HalfASecond = new() { RequestTimeout = TimeSpan.FromSeconds(0.5) };

    [Fact]
    public async Task Get_TimesOutInExecution_Answers408CancelsTheHandlerAndKeepsItsPermit()
    {
        Probe probe = new();
        ManualTimeProvider time = new();
        await using TestServer server = await TestServer.StartAsync(
            form, probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0 }, HalfASecond), time);
        Task<HttpResponseMessage> running = await StartAsync(server, time);
        ProbeCall call = await probe.NextAsync();

        time.Advance(TimeSpan.FromSeconds(0.6));
        using HttpResponseMessage timedOut = await running;

        Assert.Equal(HttpStatusCode.RequestTimeout, timedOut.StatusCode);
        string id = Assert.Single(timedOut.Headers.GetValues("X-Request-ID"));
        Assert.Equal($"Request {id} timed out after 0.5s.", await timedOut.Content.ReadAsStringAsync(TestServer.Deadline));
        await call.Cancelled.WaitAsync(TestServer.Deadline);

        // The handler has been answered for but has not ended, so its permit is still out.
        using HttpResponseMessage refused = await server.Client.GetAsync("/", TestServer.Deadline);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        call.Return("too late");
        HandleCounts counts = Counts(server);
        await UntilAsync(() => counts.TimedOut == 1);
        Task<HttpResponseMessage> next = server.Client.GetAsync("/", TestServer.Deadline);
        (await probe.NextAsync()).Return("in time");
        Assert.Equal("in time", await (await next).Content.ReadAsStringAsync(TestServer.Deadline));
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    public async Task Get_ClientTurnsTheTimeoutOff_RunsOn(string header)
    {
        Probe probe = new();
        ManualTimeProvider time = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config(http: HalfASecond), time);
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        request.Headers.Add("x-request-timeout-seconds", header);
        Task<HttpResponseMessage> running = server.Client.SendAsync(request, TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();

        time.Advance(TimeSpan.FromSeconds(100));
        call.Return("fine");

        Assert.Equal("fine", await (await running).Content.ReadAsStringAsync(TestServer.Deadline));
    }

    [Fact]
    public async Task Get_ClientLeavesInExecution_CancelsTheHandlerAndLogs499()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config());
        using CancellationTokenSource client = new();
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", client.Token);
        ProbeCall call = await probe.NextAsync();

        await client.CancelAsync();
        await call.Cancelled.WaitAsync(TestServer.Deadline);
        call.Throw(new OperationCanceledException());

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.EndsWith("499", (await server.LogAsync(EventIds.RequestHandled)).Message.Split(' ')[2], StringComparison.Ordinal);
        Assert.Equal(1, Counts(server).Cancelled);
    }

    /// <summary>Sends a request and waits until its deadline is set.</summary>
    private static async Task<Task<HttpResponseMessage>> StartAsync(TestServer server, ManualTimeProvider time)
    {
        int armed = time.ArmedTimers;
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", TestServer.Deadline);
        await time.WhenArmedAsync(armed + 1, TestServer.Deadline);
        return running;
    }

    private static HandleCounts Counts(TestServer server) => server.Server.Status.Applications[0].Deployments[0].Served.Gate.Handles[0].Counts;

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}

public sealed class PortTimeoutTests() : TimeoutTests(ServerForm.Port);

public sealed class EmbeddedTimeoutTests() : TimeoutTests(ServerForm.Embedded);
