using System.Net;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinaryReloadTests
{
    /// <summary>Each step changes one live key; requests go on all the while, and none of them may fail.</summary>
    [Fact]
    public async Task Reload_EachLiveKeyUnderLoad_FailsNoRequest()
    {
        string before = Toml.Slow(queued: 1000) + Toml.EchoApplication();
        (string Config, string Logged)[] steps =
        [
            (Toml.Slow(queued: 1000, replicas: 4) + Toml.EchoApplication(), "num_replicas: 1 -> 4"),
            (Toml.Slow(queued: 1000, replicas: 2) + Toml.EchoApplication(), "num_replicas: 4 -> 2"),
            (Toml.Slow(queued: 1000, replicas: 2, ongoing: 8) + Toml.EchoApplication(), "max_ongoing_requests: 2 -> 8"),
            (Toml.Slow(queued: 1000, replicas: 2, ongoing: 1) + Toml.EchoApplication(), "max_ongoing_requests: 8 -> 1"),
            (Toml.Slow(queued: 500, replicas: 2, ongoing: 1) + Toml.EchoApplication(), "max_queued_requests: 1000 -> 500"),
            (Toml.Slow(queued: 500, message: "Bye!") + Toml.EchoApplication(), "user_config"),
            (Toml.Slow(queued: 500, message: "Bye!", http: "request_timeout_s = 12.0") + Toml.EchoApplication(), "http_options.request_timeout_s"),
            (Toml.Slow(queued: 500, message: "Bye!", http: "keep_alive_timeout_s = 60.0") + Toml.EchoApplication(), "http_options.keep_alive_timeout_s: 90.0 -> 60.0"),
            (Toml.Slow(queued: 500, message: "Bye!", more: "max_queue_wait_s = 30.0") + Toml.EchoApplication(), "max_queue_wait_s"),
            (Toml.Slow(queued: 500, message: "Bye!") + Toml.EchoApplication() + Toml.EchoApplication("/third", "third"), "applications.third: added"),
            (Toml.Slow(queued: 500, message: "Bye!") + Toml.EchoApplication() + Toml.EchoApplication("/moved", "third"), "applications.third.route_prefix: \"/third\" -> \"/moved\""),
            (Toml.Slow(queued: 500, message: "Bye!") + Toml.EchoApplication(), "applications.third: removed"),
            (Toml.Slow(queued: 500, message: "Bye!") + Toml.EchoApplication() + Toml.Logging("enable_access_log = false"), "logging_config.enable_access_log: true -> false"),
            (Toml.Slow(queued: 500, message: "Bye!") + Toml.EchoApplication() + Toml.Logging("log_level = \"DEBUG\""), "logging_config.log_level: \"INFO\" -> \"DEBUG\""),
            (Toml.Slow(queued: 500, message: "Bye!") + Toml.EchoApplication(), "logging_config.log_level: \"DEBUG\" -> \"INFO\""),
        ];
        await using ServeProcess server = await ServeProcess.StartAsync(before);
        using CancellationTokenSource enough = new();
        Task<int>[] load = [.. Enumerable.Range(0, 8).Select(i => LoadAsync(server, i % 2 == 0 ? "/" : "/echo", enough.Token))];

        foreach ((string config, string logged) in steps)
        {
            IReadOnlyList<string> lines = await server.ReloadAsync(config);
            Assert.Contains(lines, l => l.Contains(logged, StringComparison.Ordinal));
            Assert.Contains("Reloaded ", lines[^1], StringComparison.Ordinal);
        }

        await enough.CancelAsync();
        int[] answered = await Task.WhenAll(load);
        Assert.All(answered, count => Assert.True(count > 0));
        Assert.Equal("Bye!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task Reload_Applications_ComeGoAndMove()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());

        await server.ReloadAsync(Toml.Slow() + Toml.EchoApplication("/a"));
        Assert.Equal("ok", await server.Client.GetStringAsync("/a", server.Deadline));
        await server.ReloadAsync(Toml.Slow() + Toml.EchoApplication("/b"));
        Assert.Equal("ok", await server.Client.GetStringAsync("/b", server.Deadline));
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/a", server.Deadline));
        await server.ReloadAsync(Toml.EchoApplication("/b"));
        using HttpResponseMessage gone = await server.Client.GetAsync("/", server.Deadline);

        Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        Assert.Equal("Path '/' not found. Ping http://.../-/routes for available routes.", await gone.Content.ReadAsStringAsync(server.Deadline));
        Assert.Equal("{\"/b\":\"echo\"}", await server.Client.GetStringAsync("/-/routes", server.Deadline));
    }

    [Fact]
    public async Task Reload_LogOptions_TakeEffectAtOnce()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());

        await server.ReloadAsync(Toml.Slow() + Toml.Logging("encoding = \"JSON\""));
        int from = server.LineCount;
        await server.Client.GetStringAsync("/", server.Deadline);
        string json = await server.LineAsync("GET / 200", from);
        await server.ReloadAsync(Toml.Slow() + Toml.Logging("enable_access_log = false"));
        from = server.LineCount;
        await server.Client.GetStringAsync("/", server.Deadline);
        await server.ReloadAsync(Toml.Slow() + Toml.Logging("enable_access_log = false\nlog_level = \"DEBUG\""));

        Assert.StartsWith("{\"levelname\":\"INFO\"", json, StringComparison.Ordinal);
        Assert.DoesNotContain(server.Lines.Skip(from), l => l.Contains("GET /", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("[http_options]\nport = 80000\nprot = 1\n[[applications]]\nname = \"a\"\nimport_path = \"builtin:nothing\"\n", "config.toml:2:8: ", "config.toml:3:1: ", "config.toml:6:15: ")]
    [InlineData("[http_options\nport = 1\n", "config.toml:1:")]
    [InlineData("", "config.toml:")]
    [InlineData("[[applications]]\nname = \"a\"\nimport_path = \"builtin:echo\"\n[[applications]]\nname = \"a\"\nroute_prefix = \"/x\"\nimport_path = \"builtin:echo\"\n", "config.toml:5:8: ")]
    public async Task Reload_BrokenFile_LogsEveryErrorWithItsPlaceAndChangesNothing(string broken, params string[] places)
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());

        IReadOnlyList<string> lines = await server.ReloadAsync(broken);

        foreach (string place in places)
        {
            Assert.Contains(lines, l => l.StartsWith("ERROR ", StringComparison.Ordinal) && l.Contains(place, StringComparison.Ordinal));
        }

        Assert.Contains("Reload refused", lines[^1], StringComparison.Ordinal);
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        Assert.Equal("{\"/\":\"slow\"}", await server.Client.GetStringAsync("/-/routes", server.Deadline));
    }

    [Fact]
    public async Task Reload_FileIsGone_SaysSoAndServesOn()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());
        File.Delete(server.ConfigPath);

        server.Signal(ServeBinary.Hangup);

        Assert.Contains("there is no such file", await server.LineAsync("config.toml:"), StringComparison.Ordinal);
        await server.LineAsync("Reload refused");
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task Reload_UserConfigThatTheHandlerCannotTake_KeepsTheOldOneAndSaysWhy()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());

        IReadOnlyList<string> lines = await server.ReloadAsync(Toml.Slow().Replace("delay_s = 0.0", "delay_s = \"boom\"", StringComparison.Ordinal));

        Assert.Contains(lines, l => l.Contains("refused the new user_config", StringComparison.Ordinal));
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task Reload_BurstOfSignals_TheLatestFileWins()
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());

        for (int i = 1; i <= 200; i++)
        {
            // As a deployment tool would: never a half-written file.
            string next = server.Folder.Write("next.toml", Toml.Slow(queued: i));
            File.Move(next, server.ConfigPath, overwrite: true);
            server.Signal(ServeBinary.Hangup);
        }

        await server.LineAsync("-> 200 (live)");
        await server.LineAsync("Reloaded ", server.Lines.ToList().FindIndex(l => l.Contains("-> 200 (live)", StringComparison.Ordinal)));
        Assert.InRange(server.Lines.Count(l => l.Contains("Reloaded ", StringComparison.Ordinal)), 1, 201);
        Assert.DoesNotContain(server.Lines, l => l.Contains("ERROR", StringComparison.Ordinal));
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Theory]
    [InlineData("host = \"127.0.0.2\"", "http_options.host")]
    [InlineData("max_connections = 5\nport = 8123", null)]
    public async Task Reload_HostOrPort_IsReportedAsNeedingARestart(string http, string? reported)
    {
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());

        IReadOnlyList<string> lines = await server.ReloadAsync(Toml.Slow(http: http));

        // The port comes from the command line, which beats the file: only the other key is a change.
        if (reported is null)
        {
            Assert.DoesNotContain(lines, l => l.Contains("Not changed", StringComparison.Ordinal));
        }
        else
        {
            Assert.Contains(lines, l => l.StartsWith("WARNING ", StringComparison.Ordinal) && l.Contains($"Not changed {reported}", StringComparison.Ordinal));
        }

        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task Reload_BeforeTheServerIsReady_IsRememberedAndDone()
    {
        await using ServeProcess early = ServeProcess.Launch(Toml.Slow());
        bool registered = false;
        while (!registered)
        {
            // Until its handlers stand, a hangup would end it; /proc says when they do.
            registered = SignalMask.Catches(early.Id, ServeBinary.Hangup);
            early.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        early.Signal(ServeBinary.Hangup);
        await early.ReadyAsync();
        await early.LineAsync("Reloaded ");
        Assert.Equal("Hello!", await early.Client.GetStringAsync("/", early.Deadline));
    }

    private static async Task<int> LoadAsync(ServeProcess server, string path, CancellationToken enough)
    {
        using HttpClient client = server.NewClient();
        int answered = 0;
        while (!enough.IsCancellationRequested)
        {
            using HttpResponseMessage response = await client.GetAsync(path, server.Deadline);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            string body = await response.Content.ReadAsStringAsync(server.Deadline);
            Assert.True(path == "/echo" ? body == "ok" : body is "Hello!" or "Bye!", body);
            answered++;
        }

        return answered;
    }
}

/// <summary>What the kernel knows of a process's signals.</summary>
internal static class SignalMask
{
    public static bool Catches(int processId, int signal)
    {
        string line = File.ReadLines($"/proc/{processId}/status").First(l => l.StartsWith("SigCgt:", StringComparison.Ordinal));
        ulong mask = Convert.ToUInt64(line["SigCgt:".Length..].Trim(), 16);
        return (mask & (1UL << (signal - 1))) != 0;
    }
}
