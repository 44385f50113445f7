using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Cli;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Functional;

/// <summary>The goal as others change it: over REST, with its generations.</summary>
public sealed class GenerationTests
{
    private const string Slow = """{"applications":[{"name":"default","route_prefix":"/","import_path":"builtin:echo"}]}""";

    [Fact]
    public async Task Put_RaysJson_BecomesTheGoalAndAGeneration()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = Admin(server);

        using HttpResponseMessage accepted = await admin.PutAsync("/api/serve/applications/", Json(Slow), TestServer.Deadline);

        Assert.Equal(HttpStatusCode.OK, accepted.StatusCode);
        int number = (await JsonOf(accepted)).GetProperty("generation").GetInt32();
        Assert.Equal(2, number);
        await EndOfAsync(admin, number);
        Assert.Equal("ok", await server.Client.GetStringAsync("/", TestServer.Deadline));
        Assert.Equal(GenerationOutcome.Good, server.Deployer.Generations[^1].Outcome);
        Assert.Equal(server.Server.Config.Http.Port, server.Deployer.View.Goal.Http.Port);
    }

    [Fact]
    public async Task Put_AsRaysCommandLineSendsIt_IsAcceptedWithWarnings()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = Admin(server);

        using HttpResponseMessage accepted = await admin.PutAsync(
            "/api/serve/applications/",
            Json("""
            {"proxy_location":"EveryNode","http_options":{"host":"0.0.0.0","port":8000},"grpc_options":{"port":9000,"grpc_servicer_functions":[]},
             "logging_config":{"log_level":"INFO","logs_dir":null,"encoding":"TEXT","enable_access_log":true},
             "applications":[{"name":"app1","route_prefix":"/","import_path":"builtin:echo","runtime_env":{},
               "deployments":[{"name":"Echo","num_replicas":2,"ray_actor_options":{"num_cpus":0.0}}]}]}
            """),
            TestServer.Deadline);

        JsonElement answer = await JsonOf(accepted);
        Assert.Equal(HttpStatusCode.OK, accepted.StatusCode);
        Assert.Equal(4, answer.GetProperty("warnings").GetArrayLength());
        await EndOfAsync(admin, 2);
        Assert.Equal("ok", await server.Client.GetStringAsync("/", TestServer.Deadline));
        Assert.Contains(server.LogsOf(EventIds.ConfigNeedsRestart), r => r.Message.Contains("http_options.port", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Put_Toml_ErrorsHaveTheFilesLines()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = Admin(server);

        using HttpResponseMessage refused = await admin.PutAsync(
            "/api/serve/applications/?source=my.toml",
            new StringContent("[http_options]\nprot = 1\n\n[[applications]]\nimport_path = \"no:such\"\n", Encoding.UTF8, "application/toml"),
            TestServer.Deadline);

        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        string[] errors = [.. (await JsonOf(refused)).GetProperty("errors").EnumerateArray().Select(e => e.GetString()!)];
        Assert.Equal(2, errors.Length);
        Assert.StartsWith("my.toml:2:1: unknown key prot", errors[0], StringComparison.Ordinal);
        Assert.StartsWith("my.toml:5:", errors[1], StringComparison.Ordinal);
        Assert.Single(server.Deployer.Generations);
    }

    [Fact]
    public async Task Delete_EverythingIsRemovedAndTheServerStays()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = Admin(server);

        using HttpResponseMessage accepted = await admin.DeleteAsync("/api/serve/applications/", TestServer.Deadline);
        await EndOfAsync(admin, (await JsonOf(accepted)).GetProperty("generation").GetInt32());

        Assert.Equal(HttpStatusCode.NotFound, (await server.Client.GetAsync("/", TestServer.Deadline)).StatusCode);
        Assert.Equal("success", await server.Client.GetStringAsync("/-/healthz", TestServer.Deadline));
    }

    [Fact]
    public async Task Rollback_WithoutANumber_GoesToTheGoodOneBefore()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = Admin(server);
        using HttpResponseMessage put = await admin.PutAsync("/api/serve/applications/", Json(Slow), TestServer.Deadline);
        await EndOfAsync(admin, 2);

        using HttpResponseMessage accepted = await admin.PostAsync("/api/serve/rollback", null, TestServer.Deadline);

        JsonElement generation = await JsonOf(accepted);
        Assert.Equal(3, generation.GetProperty("generation").GetInt32());
        Assert.Equal(1, generation.GetProperty("restored_from").GetInt32());
        Assert.Equal("good", await EndOfAsync(admin, 3));
        Assert.Equal("/echo", server.Server.Status.Applications[0].RoutePrefix);
    }

    [Theory]
    [InlineData("/api/serve/rollback", "no good generation before")]
    [InlineData("/api/serve/rollback?generation=99", "no generation 99")]
    [InlineData("/api/serve/rollback?generation=x", "must be a number")]
    public async Task Rollback_NowhereToGo_SaysSo(string path, string message)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = Admin(server);

        using HttpResponseMessage refused = await admin.PostAsync(path, null, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        Assert.Contains(message, (await JsonOf(refused)).GetProperty("error").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deploy_TheNewOneFails_ItsGenerationSaysWhyAndTheDiffShowsWhatRuns()
    {
        Probe good = new();
        Probe bad = new();
        for (int i = 0; i < 3; i++)
        {
            bad.ConstructorFailures.Enqueue(new InvalidOperationException("no weights"));
        }

        ServeConfig config = Probe.Config();
        await using TestServer server = await TestServer.StartAsync(bad.Register(good.Register(), "test:bad"), config);
        using HttpClient admin = Admin(server);

        await server.ApplyAsync(config with { Applications = [config.Applications[0] with { ImportPath = "test:bad" }] });

        Assert.Equal("failed", await EndOfAsync(admin, 2));
        Assert.Contains("no weights", server.Deployer.Generations[^1].Reason, StringComparison.Ordinal);
        using JsonDocument diff = JsonDocument.Parse(await admin.GetStringAsync("/api/serve/config?diff=running", TestServer.Deadline));
        JsonElement change = Assert.Single(diff.RootElement.GetProperty("changes").EnumerateArray());
        Assert.Equal("applications.default.import_path", change.GetProperty("path").GetString());
        Assert.Equal(ApplicationStatus.DeployFailed, server.Server.Status.Applications[0].Status);
    }

    /// <summary>What had not come up is not good because nothing of it is left: a rollback, and the next start, would go to it.</summary>
    [Fact]
    public async Task Stop_AGenerationIsPending_IsNotGoodAndNoOtherIsTaken()
    {
        Probe probe = new();
        using ManualResetEventSlim loaded = new();
        DeploymentRegistry registry = probe.Register().AddApplication("test:loads", app => app.Add<HttpRequest, string>("Probe", _ =>
        {
            loaded.Wait(TestServer.Deadline);
            throw new InvalidOperationException("It is not wanted any more.");
        }));
        ServeConfig config = Probe.Config();
        await using TestServer server = await TestServer.StartAsync(registry, config);
        using HttpClient admin = Admin(server);
        using TempFolder folder = new();
        Task<CliRun> deploy = CliRun.RunAsync("deploy", folder.Write("config.toml", "[[applications]]\nimport_path = \"test:loads\"\n"), "--wait", "--address", server.Server.AdminAddresses[0]);
        await TestServer.UntilAsync(() => server.Deployer.Generations.Count == 2);
        Task<string> answer = server.Client.GetStringAsync("/", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();

        Task stop = server.StopAsync();
        using HttpResponseMessage put = await admin.PutAsync("/api/serve/applications/", Json("""{"applications":[]}"""), TestServer.Deadline);
        using HttpResponseMessage rollback = await admin.PostAsync("/api/serve/rollback", null, TestServer.Deadline);
        using HttpResponseMessage scale = await admin.PostAsync("/api/v1/applications/default/deployments/Probe/scale", Json("""{"target_num_replicas": 3}"""), TestServer.Deadline);
        call.Return("ok");

        Assert.Equal("ok", await answer);
        Assert.Equal(new CliRun(1, "", "Generation 2 has been superseded: the server is stopping before it is known how this one ends\n"), await deploy);
        foreach (HttpResponseMessage refused in (HttpResponseMessage[])[put, rollback, scale])
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.Equal("The server is stopping, and takes no new goal.", (await JsonOf(refused)).GetProperty("error").GetString());
        }

        loaded.Set();
        await stop;
    }

    [Fact]
    public async Task Scale_KnownDeployment_BecomesPartOfTheGoal()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = Admin(server);

        using HttpResponseMessage scaled = await admin.PostAsync("/api/v1/applications/echo/deployments/Echo/scale", Json("""{"target_num_replicas": 3}"""), TestServer.Deadline);
        await EndOfAsync(admin, 2);
        using HttpResponseMessage unknown = await admin.PostAsync("/api/v1/applications/echo/deployments/Nope/scale", Json("""{"target_num_replicas": 3}"""), TestServer.Deadline);
        using HttpResponseMessage wrong = await admin.PostAsync("/api/v1/applications/echo/deployments/Echo/scale", Json("""{"target_num_replicas": -1}"""), TestServer.Deadline);

        Assert.Equal("Scaling request received. Deployment will get scaled asynchronously.", (await JsonOf(scaled)).GetProperty("message").GetString());
        Assert.Equal(3, server.Server.Status.Applications[0].Deployments[0].Replicas.Count);
        Assert.Equal(HttpStatusCode.BadRequest, unknown.StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, wrong.StatusCode);
    }

    private static Task<TestServer> StartAsync() => TestServer.StartAsync(
        new DeploymentRegistry().AddBuiltIn(), new() { Applications = [new() { Name = "echo", RoutePrefix = "/echo", ImportPath = "builtin:echo" }] });

    private static HttpClient Admin(TestServer server) => new() { BaseAddress = new(server.Server.AdminAddresses[0]) };

    private static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");

    private static async Task<JsonElement> JsonOf(HttpResponseMessage response)
    {
        using JsonDocument document = JsonDocument.Parse(await response.Content.ReadAsStringAsync(TestServer.Deadline));
        return document.RootElement.Clone();
    }

    /// <summary>How a generation ended, once it has.</summary>
    private static async Task<string> EndOfAsync(HttpClient admin, int number)
    {
        while (true)
        {
            using JsonDocument document = JsonDocument.Parse(await admin.GetStringAsync($"/api/serve/generations/{number}", TestServer.Deadline));
            string outcome = document.RootElement.GetProperty("outcome").GetString()!;
            if (outcome != "pending")
            {
                return outcome;
            }
        }
    }
}
