using System.Net;
using System.Net.Sockets;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinaryShutdownTests
{
    private const string Request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// <summary>
    /// A request whose bytes had reached the server is answered: all that were sent before the signal, and on a connection that is kept alive all that
    /// were sent before an answer said that it closes.
    /// </summary>
    [Fact]
    public async Task Terminate_UnderLoad_AnswersEveryRequestThatHadArrived()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 0.01, ongoing: 8, queued: 1000) + Toml.Logging("enable_access_log = false"));
        using CancellationTokenSource signalled = new();
        Task<int>[] keptAlive = [.. Enumerable.Range(0, 32).Select(_ => KeepAliveAsync(server))];
        Task<int>[] fresh = [.. Enumerable.Range(0, 16).Select(_ => FreshAsync(server, signalled.Token))];
        await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => server.Client.GetStringAsync("/", server.Deadline)));

        await signalled.CancelAsync();
        server.Signal(ServeBinary.Terminate);

        Assert.All(await Task.WhenAll(keptAlive), answered => Assert.True(answered > 0));
        await Task.WhenAll(fresh);
        Assert.Equal(0, await server.ExitAsync());
        Assert.Contains("Stopped", server.Lines[^1], StringComparison.Ordinal);
    }

    /// <summary>Twelve requests are in the server, two of them running and ten waiting, when the signal comes.</summary>
    [Fact]
    [ContractRow(46)]
    public async Task Terminate_RequestsRunAndWait_AreAnsweredAndTheExitCodeIsZero()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 0.3, queued: 20));
        List<RawConnection> connections = [];
        foreach (int _ in Enumerable.Range(0, 12))
        {
            RawConnection connection = await server.ConnectAsync();
            connections.Add(connection);
            await connection.SendAsync(Request);
        }

        server.Signal(ServeBinary.Terminate);
        string[] answers = await Task.WhenAll(connections.Select(c => c.ReadToEndAsync()));

        Assert.All(answers, answer =>
        {
            Assert.StartsWith("HTTP/1.1 200 OK", answer, StringComparison.Ordinal);
            Assert.EndsWith("Hello!", answer, StringComparison.Ordinal);
        });
        Assert.Equal(0, await server.ExitAsync());
        connections.ForEach(c => c.Dispose());
    }

    [Fact]
    public async Task Terminate_WithinTheShutdownDelay_ServesOnAndTellsLoadBalancers()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(http: "shutdown_delay_s = 2.0"));
        using HttpResponseMessage before = await server.Client.GetAsync("/-/readyz", server.Deadline);

        server.Signal(ServeBinary.Terminate);
        await server.LineAsync("SIGTERM: finishing what has arrived");
        using HttpResponseMessage ready = await server.Client.GetAsync("/-/readyz", server.Deadline);
        using HttpResponseMessage healthy = await server.Client.GetAsync("/-/healthz", server.Deadline);
        using HttpResponseMessage served = await server.Client.GetAsync("/", server.Deadline);

        Assert.Equal(HttpStatusCode.OK, before.StatusCode);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
        Assert.Equal("This node is being drained.", await ready.Content.ReadAsStringAsync(server.Deadline));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, healthy.StatusCode);
        Assert.Equal(HttpStatusCode.OK, served.StatusCode);
        Assert.True(served.Headers.ConnectionClose);
        Assert.Equal(0, await server.ExitAsync());
    }

    [Theory]
    [InlineData(ServeBinary.Terminate, 143)]
    [InlineData(ServeBinary.Interrupt, 130)]
    public async Task SecondSignal_WhileARequestRuns_EndsAtOnce(int signal, int exitCode)
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 50));
        using RawConnection connection = await server.ConnectAsync();
        await connection.SendAsync(Request);
        await RunningAsync(server);

        server.Signal(signal);
        await server.LineAsync("finishing what has arrived");
        server.Signal(signal);

        Assert.Equal(exitCode, await server.ExitAsync());
        Assert.Empty(await connection.ReadToEndAsync());
    }

    [Fact]
    public async Task Terminate_HandlerOutlivesItsGracefulShutdownTimeout_IsCutOffAndLogged()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 50, more: "graceful_shutdown_timeout_s = 0.5"));
        using RawConnection connection = await server.ConnectAsync();
        await connection.SendAsync(Request);
        await RunningAsync(server);

        server.Signal(ServeBinary.Terminate);

        Assert.Equal(0, await server.ExitAsync());
        Assert.Contains(server.Lines, l => l.StartsWith("ERROR", StringComparison.Ordinal) && l.Contains("graceful_shutdown_timeout_s", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("exec nohup \"$0\" \"$@\"")]
    [InlineData("trap '' HUP INT TERM; exec \"$0\" \"$@\"")]
    public async Task Signals_InheritedAsIgnored_WorkAllTheSame(string shell)
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(), shell);

        IReadOnlyList<string> lines = await server.ReloadAsync(Toml.Slow(queued: 7));
        server.Signal(ServeBinary.Interrupt);

        Assert.Contains(lines, l => l.Contains("max_queued_requests: 2 -> 7", StringComparison.Ordinal));
        Assert.Equal(0, await server.ExitAsync());
        Assert.Contains(server.Lines, l => l.Contains("SIGINT: finishing", StringComparison.Ordinal));
    }

    /// <summary>A hangup while it drains (a terminal that closes, say) neither brings anything back nor keeps it from ending.</summary>
    [Fact]
    public async Task Hangup_WhileItDrains_DoesNotKeepItFromEnding()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(delay: 0.5));
        using RawConnection connection = await server.ConnectAsync();
        await connection.SendAsync(Request);
        await RunningAsync(server);

        server.Signal(ServeBinary.Terminate);
        await server.LineAsync("finishing what has arrived");
        for (int i = 0; i < 5; i++)
        {
            await File.WriteAllTextAsync(server.ConfigPath, Toml.Slow(queued: 10 + i), server.Deadline);
            server.Signal(ServeBinary.Hangup);
        }

        Assert.EndsWith("Hello!", await connection.ReadToEndAsync(), StringComparison.Ordinal);
        Assert.Equal(0, await server.ExitAsync());
    }

    [Fact]
    public async Task Terminate_BeforeItIsReady_EndsWithZero()
    {
        await using ServeProcess server = ServeProcess.Launch(Toml.Slow());
        while (!SignalMask.Catches(server.Id, ServeBinary.Interrupt))
        {
            server.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        server.Signal(ServeBinary.Terminate);

        Assert.Equal(0, await server.ExitAsync());
    }

    /// <summary>Waits until a replica works on a request: what the admin port shows is the event, there is no other.</summary>
    internal static async Task RunningAsync(ServeProcess server, int ongoing = 1, int queued = 0)
    {
        using HttpClient admin = new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = server.AdminAddress };
        while (true)
        {
            string status = await admin.GetStringAsync("/api/serve/applications/?view=full", server.Deadline);
            if (status.Contains($"\"ongoing\": {ongoing},", StringComparison.Ordinal) && status.Contains($"\"queued\": {queued},", StringComparison.Ordinal))
            {
                return;
            }
        }
    }

    private static async Task<int> KeepAliveAsync(ServeProcess server)
    {
        using RawConnection connection = await server.ConnectAsync();
        for (int answered = 0; ; answered++)
        {
            await connection.SendAsync(Request);
            string answer = await connection.ReadUntilAsync("Hello!");
            Assert.StartsWith("HTTP/1.1 200 OK", answer, StringComparison.Ordinal);
            if (answer.Contains("Connection: close", StringComparison.Ordinal))
            {
                return answered + 1;
            }
        }
    }

    private static async Task<int> FreshAsync(ServeProcess server, CancellationToken signalled)
    {
        for (int answered = 0; ; answered++)
        {
            bool before = false;
            try
            {
                using RawConnection connection = await server.ConnectAsync();
                await connection.SendAsync(Request);
                before = !signalled.IsCancellationRequested;
                Assert.StartsWith("HTTP/1.1 200 OK", await connection.ReadUntilAsync("Hello!"), StringComparison.Ordinal);
            }
            catch (SocketException) when (!before)
            {
                // The door is shut: this one had not arrived.
                return answered;
            }
        }
    }
}
