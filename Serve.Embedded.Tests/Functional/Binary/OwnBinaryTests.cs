using System.Net;
using System.Text.Json;
using Serve.Embedded.Tests.Config;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary><c>examples/own-binary</c>, published: an executable of a user's own, with his deployments, his policy and the whole command line.</summary>
public sealed class OwnBinaryTests
{
    private const string Variable = "SERVE_OWN_BINARY";

    private static string Program
    {
        get
        {
            string? path = Environment.GetEnvironmentVariable(Variable);
            Assert.SkipWhen(
                string.IsNullOrEmpty(path),
                $"{Variable} does not name the published example. Publish it with dotnet publish examples/own-binary -c Release -o examples/own-binary/dist and set {Variable}=$PWD/examples/own-binary/dist/own.");
            return Path.GetFullPath(path!);
        }
    }

    [Fact]
    public async Task Commands_KnowWhatIsCompiledIn()
    {
        using OperatorSite site = new(RepositoryFile.Read("examples/own-binary/config.toml"), Program);

        Finished build = await ServeBinary.RunAsync(site.Command("build"));
        Finished check = await ServeBinary.RunAsync(site.Command("check", site.ConfigPath));
        Finished wrong = await ServeBinary.RunAsync(site.Command("check", site.Write("wrong.toml", Config("autoscaling_config = { policy = \"wating\" }"))));

        Assert.Equal((0, 0, 1), (build.ExitCode, check.ExitCode, wrong.ExitCode));
        Assert.Contains("import_path = \"own:model\"", build.Out, StringComparison.Ordinal);
        Assert.Contains("wrong.toml:", wrong.Error, StringComparison.Ordinal);
        Assert.Contains("Did you mean 'waiting'?", wrong.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task UserConfig_IsTyped_AndWhatItDoesNotKnowIsRefusedByName()
    {
        using OperatorSite site = new(Config("user_config = { greeting = \"Good day\", work_s = 0.0 }"), Program);
        await using ServeProcess server = await site.StartAsync();
        string before = await server.Client.GetStringAsync("/?name=you", server.Deadline);

        Finished bad = await site.RunAsync(server, "deploy", site.Write("bad.toml", Config("user_config = { greting = \"Hi\", work_s = 0.0 }")), "--wait");
        string after = await server.Client.GetStringAsync("/?name=you", server.Deadline);
        Finished good = await site.RunAsync(server, "deploy", site.Write("good.toml", Config("user_config = { greeting = \"Hi\", work_s = 0.0 }")), "--wait");

        Assert.Equal(("{\"text\":\"Good day, you!\"}", before), (before, after));
        Assert.Equal(1, bad.ExitCode);
        Assert.Contains("greting", bad.Error, StringComparison.Ordinal);
        Assert.Equal((0, string.Empty), (good.ExitCode, good.Error));
        Assert.Equal("{\"text\":\"Hi, you!\"}", await server.Client.GetStringAsync("/?name=you", server.Deadline));
    }

    /// <summary>Six come where one is served at a time; the policy wants one more as long as somebody waits, and one fewer when nobody is there.</summary>
    [Fact]
    public async Task Policy_OfItsOwn_ScalesUpWhileSomebodyWaitsAndDownAfterwards()
    {
        using OperatorSite site = new(
            Config("user_config = { work_s = 1.0 }\nautoscaling_config = { min_replicas = 1, max_replicas = 3, policy = \"waiting\", upscale_delay_s = 0.0, downscale_delay_s = 0.1 }"), Program);
        await using ServeProcess server = await site.StartAsync();
        await using StatusWatch status = new(site, server);
        await status.LineAsync(" 1/1 ");

        Task<string>[] answers = [.. Enumerable.Range(0, 6).Select(_ => server.Client.GetStringAsync("/", server.Deadline))];
        await status.LineAsync(" 3/3 ");
        Assert.All(await Task.WhenAll(answers), answer => Assert.Equal("{\"text\":\"Hello, world!\"}", answer));
        await status.LineAsync(" 1/1 ");
    }

    /// <summary>A thread cannot be killed. Its client is answered, another replica takes its place once, and then the operator is told; the process ends in time whatever hangs.</summary>
    [Fact]
    public async Task Handler_ThatWillNotEnd_IsAbandonedTwiceThenUnhealthyAndTheProcessStillEnds()
    {
        const string Limits = "health_check_period_s = 0.2\ngraceful_shutdown_timeout_s = 0.5\n";
        using OperatorSite site = new(Config(Limits + "user_config = { work_s = 3600.0, ignores_cancellation = true, stuck_after_s = 0.2 }"), Program);
        await using ServeProcess server = await site.StartAsync();
        await using StatusWatch status = new(site, server);

        HttpStatusCode first = await StatusAsync(server);
        await server.LineAsync("is abandoned: 1 request(s) ignore their cancellation");
        Finished once = await site.RunAsync(server, "status", "--json");
        int from = server.LineCount;
        HttpStatusCode second = await StatusAsync(server);
        await server.LineAsync("is abandoned: 1 request(s) ignore their cancellation", from);
        string told = await status.LineAsync("2 replica(s) were abandoned");
        using HttpResponseMessage third = await server.Client.GetAsync("/", server.Deadline);
        Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", Config(Limits + "user_config = { work_s = 0.0 }")), "--wait");
        server.Signal(ServeBinary.Terminate);

        Assert.All([first, second], code => Assert.InRange((int)code, 500, 599));
        using JsonDocument document = JsonDocument.Parse(once.Out);
        JsonElement states = document.RootElement.GetProperty("applications").GetProperty("model").GetProperty("deployments").GetProperty("Model").GetProperty("replica_states");
        Assert.Equal((1, 1), (states.GetProperty("RUNNING").GetInt32(), states.GetProperty("ABANDONED").GetInt32()));
        Assert.Contains(" UNHEALTHY ", told, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, third.StatusCode);
        Assert.Equal(1, deploy.ExitCode);
        Assert.Contains("2 replica(s) were abandoned", deploy.Error, StringComparison.Ordinal);
        Assert.Equal(0, await server.ExitAsync());
    }

    private static string Config(string deployment) =>
        $"""
        [[applications]]
        name = "model"
        import_path = "own:model"

          [[applications.deployments]]
          name = "Model"
          {deployment}

        """;

    private static async Task<HttpStatusCode> StatusAsync(ServeProcess server)
    {
        using HttpResponseMessage response = await server.Client.GetAsync("/", server.Deadline);
        return response.StatusCode;
    }
}
