using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.RegularExpressions;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed partial class BinaryLogTests
{
    [Fact]
    public async Task AccessLog_Text_HasTheContractsForm()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(prefix: "/slow"));
        using HttpRequestMessage request = new(HttpMethod.Get, "/slow/deep?x=1");
        request.Headers.Add("X-Request-ID", "mine-1");

        using HttpResponseMessage response = await server.Client.SendAsync(request, server.Deadline);
        using HttpResponseMessage lost = await server.Client.GetAsync("/lost", server.Deadline);

        Assert.Equal("mine-1", response.Headers.GetValues("X-Request-ID").Single());
        Assert.Matches(TextLine(), await server.LineAsync("mine-1"));
        Assert.Contains("GET /lost 404 ", await server.LineAsync(" 404 "), StringComparison.Ordinal);
        Assert.True(Guid.TryParse(lost.Headers.GetValues("X-Request-ID").Single(), out _));
    }

    [Fact]
    public async Task Log_Json_EveryLineIsAnObjectWithTheContractsKeys()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(queued: 0, ongoing: 1, delay: 0.5) + Toml.Logging("encoding = \"JSON\""));
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        request.Headers.Add("X-Request-ID", "mine-\"2\"");

        Task<HttpResponseMessage> running = server.Client.SendAsync(request, server.Deadline);
        await BinaryShutdownTests.RunningAsync(server);
        using HttpResponseMessage refused = await server.Client.GetAsync("/", server.Deadline);
        using HttpResponseMessage answered = await running;
        string access = await server.LineAsync("GET / 200");
        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.All(server.Lines, line =>
        {
            using JsonDocument parsed = JsonDocument.Parse(line);
            Assert.All(["levelname", "asctime", "message", "component_name", "component_id"], key => Assert.True(parsed.RootElement.TryGetProperty(key, out _), $"{key} in {line}"));
        });
        using JsonDocument document = JsonDocument.Parse(access);
        JsonElement root = document.RootElement;
        Assert.Equal("mine-\"2\"", root.GetProperty("request_id").GetString());
        Assert.Equal("slow_SlowDeployment", root.GetProperty("deployment").GetString());
        Assert.Equal("slow", root.GetProperty("application").GetString());
        Assert.Equal("/", root.GetProperty("route").GetString());
        Assert.False(string.IsNullOrEmpty(root.GetProperty("replica").GetString()));
        Assert.Contains(server.Lines, l => l.Contains("\"levelname\":\"WARNING\"", StringComparison.Ordinal)
            && l.Contains("Request dropped due to backpressure", StringComparison.Ordinal)
            && l.Contains(refused.Headers.GetValues("X-Request-ID").Single(), StringComparison.Ordinal));
    }

    /// <summary>Overload must not flood the log: refusals beyond a few a second are counted, not written.</summary>
    [Fact]
    public async Task Refusals_ManyAtOnce_AreNotAllLogged()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow(queued: 0, ongoing: 1, delay: 30) + Toml.Logging("enable_access_log = false"));
        using RawConnection running = await server.ConnectAsync();
        await running.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await BinaryShutdownTests.RunningAsync(server);

        for (int i = 0; i < 500; i++)
        {
            using HttpResponseMessage refused = await server.Client.GetAsync("/", server.Deadline);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        }

        Assert.InRange(server.Lines.Count(l => l.Contains("Request dropped", StringComparison.Ordinal)), 1, 250);
    }

    /// <summary>A log that cannot be written harms nobody: a full disk, a stream that was closed, a reader that has gone.</summary>
    [Theory]
    [InlineData("exec \"$0\" \"$@\" 2>/dev/full")]
    [InlineData("exec \"$0\" \"$@\" 2>&-")]
    [InlineData("exec \"$0\" \"$@\" <&- >&- 2>&-")]
    public async Task Log_CannotBeWritten_ServesAllTheSame(string shell)
    {
        int port = FreePort();
        await using ServeProcess server = ServeProcess.Launch(
            Toml.Echo(), shell, environment: null, $"--port={port}", "--admin-port=0");
        using HttpClient client = new() { BaseAddress = new($"http://127.0.0.1:{port}") };
        await ListeningAsync(client, server.Deadline);

        for (int i = 0; i < 200; i++)
        {
            Assert.Equal("ok", await client.GetStringAsync("/", server.Deadline));
        }

        server.Signal(ServeBinary.Hangup);
        Assert.Equal("ok", await client.GetStringAsync("/", server.Deadline));
        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
    }

    /// <summary>Whoever read the log has gone: what is lost is counted, since nothing else can tell of it.</summary>
    [Fact]
    public async Task Log_NobodyReadsIt_TheMetricCountsWhatIsLost()
    {
        int port = FreePort();
        int adminPort = FreePort();
        await using ServeProcess server = ServeProcess.Launch(
            Toml.Echo(), "mkfifo log; head -n 1 log & exec \"$0\" \"$@\" 2>log", environment: null, $"--port={port}", $"--admin-port={adminPort}");
        using HttpClient client = new() { BaseAddress = new($"http://127.0.0.1:{port}") };
        await ListeningAsync(client, server.Deadline);

        double lost = 0;
        while (lost == 0)
        {
            await client.GetStringAsync("/", server.Deadline);
            lost = Exposition.Parse(await client.GetStringAsync(new Uri($"http://127.0.0.1:{adminPort}/metrics"), server.Deadline)).Sum("serve_log_lines_dropped_total");
        }

        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
    }

    /// <summary>There is no log to tell when it listens, so it is asked until it answers.</summary>
    private static async Task ListeningAsync(HttpClient client, CancellationToken deadline)
    {
        while (true)
        {
            try
            {
                using HttpResponseMessage response = await client.GetAsync("/-/readyz", deadline);
                if (response.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                await Task.Yield();
            }
        }
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    [GeneratedRegex(@"^INFO \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} proxy 127\.0\.0\.1:\d+ mine-1 -- GET /slow 200 \d+\.\dms$")]
    private static partial Regex TextLine();
}
