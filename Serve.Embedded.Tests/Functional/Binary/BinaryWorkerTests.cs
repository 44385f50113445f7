using System.Diagnostics;
using System.Globalization;
using System.Net;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Replicas that are processes: what happens to requests when they die, hang, leak or cannot start.</summary>
public sealed class BinaryWorkerTests
{
    [Fact]
    [ContractRow(11, 26)]
    public async Task Worker_KilledAgainAndAgainUnderLoad_FailsNoIdempotentRequest()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        CancellationTokenSource enough = new();
        Task<int>[] load = Load(server, enough.Token);

        for (int i = 0; i < 6; i++)
        {
            int from = server.LineCount;
            using Process victim = await WorkerSite.AskForProcessAsync(server);
            victim.Kill();
            await server.LineAsync("ended by itself: signal 9 (SIGKILL)", from);
            await server.LineAsync(" runs", from);

            // Whoever met this kill is answered before the next: a request that meets two is rightly given up.
            await enough.CancelAsync();
            Assert.All(await Task.WhenAll(load), count => Assert.True(count > 0));
            enough = new();
            load = Load(server, enough.Token);
        }

        await enough.CancelAsync();
        enough.Dispose();
        Assert.All(await Task.WhenAll(load), count => Assert.True(count > 0));
    }

    private static Task<int>[] Load(ServeProcess server, CancellationToken enough) => [.. Enumerable.Range(0, 6).Select(_ => WorkerSite.LoadAsync(server, enough))];

    [Fact]
    public async Task Worker_DiesOfARequest_AnIdempotentOneKillsTwoAndNoThirdAndAPostOnlyOne()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();

        using HttpResponseMessage get = await server.Client.GetAsync("/?die", server.Deadline);
        string body = await get.Content.ReadAsStringAsync(server.Deadline);
        await server.Client.GetStringAsync("/", server.Deadline);
        await server.LineAsync("ended by itself", 1 + server.Lines.ToList().IndexOf(await server.LineAsync("ended by itself")));
        int killedByGet = server.Lines.Count(l => l.Contains("ended by itself", StringComparison.Ordinal));
        int from = server.LineCount;
        using HttpResponseMessage post = await server.Client.PostAsync("/?die", new StringContent("x"), server.Deadline);
        await server.LineAsync("ended by itself", from);
        await server.Client.GetStringAsync("/", server.Deadline);

        Assert.Equal((HttpStatusCode.BadGateway, HttpStatusCode.BadGateway), (get.StatusCode, post.StatusCode));
        Assert.StartsWith("The worker ", body, StringComparison.Ordinal);
        Assert.Equal(2, killedByGet);
        Assert.Single(server.Lines.Skip(from), l => l.Contains("ended by itself", StringComparison.Ordinal));
    }

    [Fact]
    [ContractRow(26)]
    public async Task Worker_Hangs_IsReplacedByItsHealthCheck()
    {
        using OperatorSite site = await WorkerSite.CreateAsync("health_check_period_s = 0.1\nhealth_check_timeout_s = 0.3\ngraceful_shutdown_timeout_s = 1.0");
        await using ServeProcess server = await site.StartAsync();

        using Process hung = await WorkerSite.AskForProcessAsync(server, "/?hang");
        await server.LineAsync("is unhealthy: it finishes what it has, and another takes its place");
        await hung.WaitForExitAsync(server.Deadline);

        Assert.NotEqual(hung.Id.ToString(CultureInfo.InvariantCulture), (await server.Client.GetStringAsync("/", server.Deadline)).Split(' ')[0]);
    }

    /// <summary>It holds as many as it may, and none of them is lost with it.</summary>
    [Fact]
    public async Task Worker_Freezes_WhatItHoldsGoesToAnother()
    {
        const int Stop = 19;
        using OperatorSite site = await WorkerSite.CreateAsync("health_check_period_s = 0.1\nhealth_check_timeout_s = 0.3\ngraceful_shutdown_timeout_s = 0.5");
        await using ServeProcess server = await site.StartAsync();
        using Process frozen = await WorkerSite.AskForProcessAsync(server);
        ServeBinary.Kill(frozen.Id, Stop);

        string[] answers = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => server.Client.GetStringAsync("/", server.Deadline)));

        await frozen.WaitForExitAsync(server.Deadline);
        Assert.DoesNotContain(answers, a => a.StartsWith($"{frozen.Id} ", StringComparison.Ordinal));
        await server.LineAsync("The request is sent again, to another replica if there is one.");
    }

    [Fact]
    public async Task Worker_Leaks_IsReplacedWithoutAFailedRequest()
    {
        using OperatorSite site = await WorkerSite.CreateAsync("health_check_period_s = 0.1\nmax_replica_rss_mb = 150");
        await using ServeProcess server = await site.StartAsync();
        using CancellationTokenSource enough = new();
        Task<int>[] load = [.. Enumerable.Range(0, 4).Select(_ => WorkerSite.LoadAsync(server, enough.Token))];

        using Process leaking = await WorkerSite.AskForProcessAsync(server, "/?leak=300");
        await server.LineAsync("MiB of memory (max_replica_rss_mb = 150)");
        await leaking.WaitForExitAsync(server.Deadline);

        await enough.CancelAsync();
        await Task.WhenAll(load);
    }

    [Fact]
    public async Task Worker_HadItsRequests_IsReplacedWithoutAFailedRequest()
    {
        using OperatorSite site = await WorkerSite.CreateAsync("max_requests_per_replica = 50");
        await using ServeProcess server = await site.StartAsync();
        using CancellationTokenSource enough = new();
        Task<int>[] load = [.. Enumerable.Range(0, 4).Select(_ => WorkerSite.LoadAsync(server, enough.Token))];

        await server.LineAsync("requests (max_requests_per_replica = 50)");
        int from = server.LineCount;
        await server.LineAsync(" runs", from);
        await server.LineAsync("requests (max_requests_per_replica = 50)", from);

        await enough.CancelAsync();
        await Task.WhenAll(load);
    }

    [Fact]
    public async Task Server_IsKilled_NoWorkerAndNoChildOfOneIsLeft()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using Process worker = await WorkerSite.AskForProcessAsync(server);
        using Process child = await WorkerSite.AskForProcessAsync(server, "/?child");

        server.Signal(9);

        await worker.WaitForExitAsync(server.Deadline);
        await child.WaitForExitAsync(server.Deadline);
    }

    [Fact]
    public async Task Server_Ends_ItsWorkersEndAndNothingOfThemIsLeft()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        site.Environment["XDG_RUNTIME_DIR"] = site.Folder;
        await using ServeProcess server = await site.StartAsync();
        using Process worker = await WorkerSite.AskForProcessAsync(server);

        server.Signal(ServeBinary.Terminate);

        Assert.Equal(0, await server.ExitAsync());
        Assert.True(worker.HasExited);
        Assert.DoesNotContain(Directory.GetFileSystemEntries(site.Folder), e => Path.GetFileName(e).StartsWith("serve-", StringComparison.Ordinal));
    }

    [Fact]
    public async Task UserConfig_Changed_GoesLiveInTheSameProcess()
    {
        using OperatorSite site = await WorkerSite.CreateAsync("user_config = { message = \"one\" }", "args = { version = \"v7\" }");
        await using ServeProcess server = await site.StartAsync();
        string before = await server.Client.GetStringAsync("/", server.Deadline);

        await server.ReloadAsync(WorkerSite.Config("user_config = { message = \"two\" }", "args = { version = \"v7\" }", replicas: 1));
        string after = await server.Client.GetStringAsync("/", server.Deadline);
        Finished refused = await site.RunAsync(server, "deploy", site.Write("bad.toml", WorkerSite.Config("user_config = { }", "args = { version = \"v7\" }", replicas: 1)), "--wait");

        Assert.EndsWith(" v7 one", before, StringComparison.Ordinal);
        Assert.EndsWith(" v7 two", after, StringComparison.Ordinal);
        Assert.DoesNotContain(server.Lines, l => l.Contains("is replaced", StringComparison.Ordinal));
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("message is missing", refused.Error, StringComparison.Ordinal);
        Assert.EndsWith(" v7 two", await server.Client.GetStringAsync("/", server.Deadline), StringComparison.Ordinal);
    }

    [Fact]
    public async Task File_Changed_IsRolledOutUnderLoadWithoutAFailedRequest()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using CancellationTokenSource enough = new();
        Task<int>[] load = [.. Enumerable.Range(0, 4).Select(_ => WorkerSite.LoadAsync(server, enough.Token))];

        string code = await File.ReadAllTextAsync(Path.Combine(site.Folder, "worker.py"), server.Deadline);
        site.Write("worker.py", code.Replace("\"v1\"", "\"v2\"", StringComparison.Ordinal));
        await server.ReloadAsync(WorkerSite.Config());

        Assert.Contains(" v2 ", await server.Client.GetStringAsync("/", server.Deadline), StringComparison.Ordinal);
        await enough.CancelAsync();
        await Task.WhenAll(load);
    }

    [Theory]
    [InlineData("args = { fails = true }", null, "the model is missing")]
    [InlineData("", "import nothing_like_it\n", "No module named 'nothing_like_it'")]
    [InlineData("", "class Other:\n    pass\n", "has no 'Worker'")]
    public async Task Deploy_CodeThatFails_SaysWhyAndTheOldServesOn(string application, string? code, string reason)
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using CancellationTokenSource enough = new();
        Task<int>[] load = [.. Enumerable.Range(0, 4).Select(_ => WorkerSite.LoadAsync(server, enough.Token))];
        if (code is not null)
        {
            site.Write("worker.py", code);
        }

        Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", WorkerSite.Config("max_constructor_retry_count = 1", application)), "--wait");
        Finished status = await site.RunAsync(server, "status");

        await enough.CancelAsync();
        await Task.WhenAll(load);
        Assert.Equal(1, deploy.ExitCode);
        Assert.Contains(reason, deploy.Error, StringComparison.Ordinal);
        Assert.Contains("DEPLOY_FAILED", status.Out, StringComparison.Ordinal);
        Assert.Contains(" v1 ", await server.Client.GetStringAsync("/", server.Deadline), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[\"no-such-program\"]", "", "no-such-program")]
    [InlineData("[\"/etc/passwd\"]", "", "/etc/passwd")]
    [InlineData("[\"true\"]", "runtime_env = { working_dir = \"nowhere\" }", "nowhere")]
    [InlineData("[\"sh\", \"-c\", \"echo it is broken >&2; exit 3\"]", "", "exit code 3")]
    [InlineData("[\"sh\", \"-c\", \"echo it is broken >&2; exit 3\"]", "", "it is broken")]
    [InlineData("[\"sleep\", \"3600\"]", "startup_timeout_s = 0.3", "startup_timeout_s = 0.3")]
    public async Task Deploy_CommandThatCannotStart_SaysWhy(string command, string more, string reason)
    {
        using OperatorSite site = new("applications = []\n");
        await using ServeProcess server = await site.StartAsync();

        Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", WorkerSite.Command(command, more)), "--wait");

        Assert.Equal(1, deploy.ExitCode);
        Assert.Contains(reason, deploy.Error, StringComparison.Ordinal);
    }

    /// <summary>The name that the file gave its deployment is not known while it cannot be imported.</summary>
    [Fact]
    public async Task Status_FileOfAnotherNameThatCannotBeImportedAnyMore_IsFailedThoughWhatWasGoodServesOn()
    {
        const string Code = "from serve_embedded import serve\n@serve.deployment\nclass M:\n    def __call__(self, request): return 'ok'\napp = M.options(name='Other').bind()\n";
        using OperatorSite site = new("[[applications]]\nimport_path = \"python:m.app\"\n");
        site.Write("m.py", Code);
        await using ServeProcess server = await site.StartAsync();
        site.Write("m.py", Code + "raise ValueError('no model')\n");

        Finished deploy = await site.RunAsync(server, "deploy", site.ConfigPath, "--wait");
        Finished status = await site.RunAsync(server, "status");

        Assert.Equal(1, deploy.ExitCode);
        Assert.Contains("ValueError: no model", deploy.Error, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^default +/ +Other +DEPLOY_FAILED +1/1 .*Importing m\.app from ", status.Out);
        Assert.Contains("\n    Traceback (most recent call last):\n", status.Out, StringComparison.Ordinal);
        Assert.Equal("ok", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task Handler_Throws_500AndTheTracebackIsLoggedUnderTheRequestsId()
    {
        using OperatorSite site = await WorkerSite.CreateAsync();
        await using ServeProcess server = await site.StartAsync();
        using HttpRequestMessage request = new(HttpMethod.Get, "/?fail");
        request.Headers.Add("X-Request-ID", "my-id-7");

        using HttpResponseMessage response = await server.Client.SendAsync(request, server.Deadline);

        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
        Assert.DoesNotContain("no luck", await response.Content.ReadAsStringAsync(server.Deadline), StringComparison.Ordinal);
        Assert.StartsWith("ERROR ", await server.LineAsync("[my-id-7] RuntimeError: no luck"), StringComparison.Ordinal);
    }
}
