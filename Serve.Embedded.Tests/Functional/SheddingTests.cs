using System.Net;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional;

public abstract class SheddingTests(ServerForm form)
{
    [Fact]
    public async Task Post_Refused_ClosesTheConnectionWithTheBodyUnread()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0 }));
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        using RawConnection connection = await server.ConnectAsync();

        await connection.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
        string answer = await connection.ReadUntilAsync("Retry after");

        Assert.StartsWith("HTTP/1.1 503 ", answer, StringComparison.Ordinal);
        Assert.Contains("Connection: close", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("100 Continue", answer, StringComparison.Ordinal);
        call.Return("ok");
        await running;
    }

    [Fact]
    public async Task Post_Queued_IsNotReadUntilItRuns()
    {
        Probe probe = new();
        DeploymentRegistry registry = probe.Register().AddBuiltIn();
        await using TestServer server = await TestServer.StartAsync(form, registry, Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 1 }));
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        using RawConnection connection = await server.ConnectAsync();
        await connection.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");

        call.Return("one");
        ProbeCall second = await probe.NextAsync();
        second.Return("two");
        string answer = await connection.ReadToEndAsync();

        // The handler never reads its body, so nobody ever asks for it.
        Assert.StartsWith("HTTP/1.1 200 ", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("100 Continue", answer, StringComparison.Ordinal);
        await running;
    }

    [Fact]
    public async Task Get_WaitedLongerThanMaxQueueWait_Refuses503AndNeverRuns()
    {
        Probe probe = new();
        ManualTimeProvider time = new();
        await using TestServer server = await TestServer.StartAsync(
            form, probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueueWait = TimeSpan.FromSeconds(3) }), time);
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        int armed = time.ArmedTimers;
        Task<HttpResponseMessage> waiting = server.Client.GetAsync("/", TestServer.Deadline);
        await time.WhenArmedAsync(armed + 2, TestServer.Deadline);

        time.Advance(TimeSpan.FromSeconds(3.1));
        using HttpResponseMessage refused = await waiting;

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Contains("It waited 3 s, the max_queue_wait_s of deployment 'Probe'", await refused.Content.ReadAsStringAsync(TestServer.Deadline), StringComparison.Ordinal);
        call.Return("one");
        Assert.Equal(HttpStatusCode.OK, (await running).StatusCode);
        Assert.False(probe.TryNext(out _));
    }

    /// <summary>One request runs and one waits.</summary>
    internal static async Task<(Task<HttpResponseMessage> Running, ProbeCall Call, Task<HttpResponseMessage> Waiting)> FillAsync(TestServer server, Probe probe)
    {
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        Task<HttpResponseMessage> waiting = server.Client.GetAsync("/", TestServer.Deadline);
        await WaitingAsync(server, 1);
        return (running, call, waiting);
    }

    /// <summary>Until so many requests wait. Their arrival is on the wire, so somebody has to look.</summary>
    internal static async Task WaitingAsync(TestServer server, int count)
    {
        while (server.Waiting != count)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}

public sealed class PortSheddingTests() : SheddingTests(ServerForm.Port);

public sealed class EmbeddedSheddingTests() : SheddingTests(ServerForm.Embedded);
