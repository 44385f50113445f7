using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Admin;
using Serve.Embedded.Cli;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Cli;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Binary;

namespace Serve.Embedded.Tests.Admin;

/// <summary>The admin port over real sockets: Ray Serve's paths and shapes, and what it says no to.</summary>
public sealed class AdminServerTests
{
    [Fact]
    public async Task Applications_RunningServer_HaveRaysShape()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using JsonDocument details = JsonDocument.Parse(await admin.GetStringAsync("/api/serve/applications/", TestServer.Deadline));

        JsonElement root = details.RootElement;
        Assert.Equal("MULTI_APP", root.GetProperty("deploy_mode").GetString());
        Assert.Equal("HEALTHY", root.GetProperty("proxies").EnumerateObject().Single().Value.GetProperty("status").GetString());
        Assert.Equal(JsonValueKind.Null, root.GetProperty("target_capacity").ValueKind);
        JsonElement application = root.GetProperty("applications").GetProperty("slow");
        Assert.Equal("slow", application.GetProperty("name").GetString());
        Assert.Equal("/slow", application.GetProperty("route_prefix").GetString());
        Assert.Equal("RUNNING", application.GetProperty("status").GetString());
        Assert.Equal(string.Empty, application.GetProperty("message").GetString());
        Assert.Equal("declarative", application.GetProperty("source").GetString());
        Assert.True(application.GetProperty("last_deployed_time_s").GetDouble() > 1_700_000_000);
        JsonElement deployment = application.GetProperty("deployments").GetProperty("SlowDeployment");
        Assert.Equal("HEALTHY", deployment.GetProperty("status").GetString());
        Assert.Equal("CONFIG_UPDATE_COMPLETED", deployment.GetProperty("status_trigger").GetString());
        Assert.Equal(2, deployment.GetProperty("target_num_replicas").GetInt32());
        Assert.Equal(3, deployment.GetProperty("deployment_config").GetProperty("max_ongoing_requests").GetInt32());
        Assert.Equal(0.25, deployment.GetProperty("deployment_config").GetProperty("user_config").GetProperty("delay_s").GetDouble());
        List<JsonElement> replicas = [.. deployment.GetProperty("replicas").EnumerateArray()];
        Assert.Equal(2, replicas.Select(r => r.GetProperty("replica_id").GetString()).Distinct().Count());
        Assert.All(replicas, r => Assert.Equal("RUNNING", r.GetProperty("state").GetString()));
        Assert.All(replicas, r => Assert.Equal(Environment.ProcessId, r.GetProperty("pid").GetInt32()));
    }

    /// <summary>Its models refuse what they do not know and what is missing; nothing else in the document does, and there we may say more.</summary>
    [Fact]
    public async Task Applications_RaysOwnClient_GetsWhatItsModelsTake()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using JsonDocument details = JsonDocument.Parse(await admin.GetStringAsync("/api/serve/applications/", TestServer.Deadline));

        JsonElement root = details.RootElement;
        Assert.Equal(
            ["controller_info", "deploy_mode", "proxy_location", "http_options", "grpc_options", "proxies", "applications", "target_capacity", "target_groups"], NamesOf(root));
        // Its "serve shutdown" does nothing where the controller is on no node.
        Assert.Equal(JsonValueKind.String, root.GetProperty("controller_info").GetProperty("node_id").ValueKind);
        Assert.True(root.GetProperty("http_options").GetProperty("keep_alive_timeout_s").TryGetInt32(out _));
        JsonElement application = root.GetProperty("applications").GetProperty("slow");
        Assert.Equal(
            ["name", "route_prefix", "status", "message", "last_deployed_time_s", "source", "external_scaler_enabled", "docs_path", "deployed_app_config", "deployments"], NamesOf(application));
        Assert.Equal("builtin:slow", application.GetProperty("deployed_app_config").GetProperty("import_path").GetString());
        JsonElement deployment = application.GetProperty("deployments").GetProperty("SlowDeployment");
        Assert.Equal(
            ["name", "status", "status_trigger", "message", "target_num_replicas", "required_resources", "deployment_config", "replicas"], NamesOf(deployment));
        Assert.Equal("SlowDeployment", deployment.GetProperty("deployment_config").GetProperty("name").GetString());
        Assert.All(deployment.GetProperty("replicas").EnumerateArray(), r => Assert.True(r.GetProperty("start_time_s").GetDouble() > 1_700_000_000));
    }

    [Fact]
    public async Task Applications_FullView_HasOursToo()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using JsonDocument details = JsonDocument.Parse(await admin.GetStringAsync("/api/serve/applications/?view=full", TestServer.Deadline));
        using HttpResponseMessage wrong = await admin.GetAsync("/api/serve/applications/?view=half", TestServer.Deadline);

        Assert.Equal(JsonValueKind.Array, details.RootElement.GetProperty("notices").ValueKind);
        JsonElement application = details.RootElement.GetProperty("applications").GetProperty("slow");
        Assert.Equal("builtin:slow", application.GetProperty("import_path").GetString());
        JsonElement deployment = application.GetProperty("deployments").GetProperty("SlowDeployment");
        Assert.Equal(2, deployment.GetProperty("replica_states").GetProperty("RUNNING").GetInt32());
        Assert.Equal(0, deployment.GetProperty("requests").GetProperty("ongoing").GetInt32());
        Assert.Equal(HttpStatusCode.BadRequest, wrong.StatusCode);
        Assert.Equal("view is 'half': it must be full, or left out.", await ErrorOfAsync(wrong));
    }

    /// <summary>It compares the version with the oldest one that it talks to, by the rules of Python's packages (PEP 440).</summary>
    [Fact]
    public async Task Version_RaysOwnClient_CanReadIt()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using JsonDocument version = JsonDocument.Parse(await admin.GetStringAsync("/api/ray/version", TestServer.Deadline));

        Assert.Matches(@"^[2-9]\.[0-9]+\.[0-9]+\+[a-z0-9]+(\.[a-z0-9]+)*$", version.RootElement.GetProperty("ray_version").GetString());
    }

    [Fact]
    public async Task Config_JsonAndToml_AreTheConfigurationInForce()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using HttpResponseMessage json = await admin.GetAsync("/api/serve/config", TestServer.Deadline);
        using HttpResponseMessage toml = await admin.GetAsync("/api/serve/config?format=toml", TestServer.Deadline);
        using HttpResponseMessage wrong = await admin.GetAsync("/api/serve/config?format=yaml", TestServer.Deadline);

        Assert.Equal("application/json", json.Content.Headers.ContentType!.MediaType);
        using JsonDocument document = JsonDocument.Parse(await json.Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.Equal("builtin:slow", document.RootElement.GetProperty("applications")[0].GetProperty("import_path").GetString());
        Assert.Contains("import_path = \"builtin:slow\"", await toml.Content.ReadAsStringAsync(TestServer.Deadline), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.BadRequest, wrong.StatusCode);
        Assert.Equal("format is 'yaml': it must be json or toml.", await ErrorOfAsync(wrong));
    }

    [Theory]
    [InlineData("/api/ray/version", "serve.embedded.")]
    [InlineData("/-/healthz", "success")]
    public async Task Get_KnownPath_Answers(string path, string contains)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        Assert.Contains(contains, await admin.GetStringAsync(path, TestServer.Deadline), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Get_UnknownPath_Is404AndNamesThoseThereAre()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using HttpResponseMessage response = await admin.GetAsync("/nothing", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Contains("/api/serve/applications/", await ErrorOfAsync(response), StringComparison.Ordinal);
    }

    /// <summary>A page that has pointed its own name at this machine gets nothing, whichever path it asks for.</summary>
    [Theory]
    [InlineData("/api/serve/applications/")]
    [InlineData("/-/healthz")]
    [InlineData("/nothing")]
    public async Task Get_UnderAnotherName_Is403(string path)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);
        using HttpRequestMessage request = new(HttpMethod.Get, path);
        request.Headers.Host = "evil.example";

        using HttpResponseMessage response = await admin.SendAsync(request, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
        Assert.Contains("admin_options.allowed_hosts", await ErrorOfAsync(response), StringComparison.Ordinal);
    }

    [Fact]
    public async Task StatusCommand_RunningServer_ShowsATableAndRaysJson()
    {
        await using TestServer server = await StartAsync();
        Dictionary<string, string> environment = new() { ["SERVE_ADDRESS"] = server.Server.AdminAddresses[0] };

        CliRun table = await CliRun.RunAsync(environment, "status");
        CliRun json = await CliRun.RunAsync(environment, "status", "--json");
        CliRun config = await CliRun.RunAsync(environment, "config");
        CliRun unknown = await CliRun.RunAsync(environment, "status", "--name", "other");

        Assert.Equal(0, table.ExitCode);
        Assert.Contains("slow", table.Out, StringComparison.Ordinal);
        Assert.Contains("2/2", table.Out, StringComparison.Ordinal);
        using JsonDocument document = JsonDocument.Parse(json.Out);
        JsonElement deployment = document.RootElement.GetProperty("applications").GetProperty("slow").GetProperty("deployments").GetProperty("SlowDeployment");
        Assert.Equal(["status", "status_trigger", "replica_states", "message", "held_back", "log_tail"], deployment.EnumerateObject().Select(p => p.Name));
        Assert.Equal("HEALTHY", document.RootElement.GetProperty("proxies").EnumerateObject().Single().Value.GetString());
        Assert.Contains("import_path = \"builtin:slow\"", config.Out, StringComparison.Ordinal);
        Assert.Equal(1, unknown.ExitCode);
        Assert.Equal("There is no application 'other'. There are: slow.", unknown.Error.Trim());
    }

    [Fact]
    public async Task StatusAndConfigCommands_DataPortInsteadOfAdmin_SayThatItIsTheWrongOne()
    {
        await using TestServer server = await StartAsync();

        CliRun run = await CliRun.RunAsync("status", "--address", server.Address.ToString());

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("answered 404", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("POST", "/api/serve/applications/", "GET, HEAD, PUT, DELETE")]
    [InlineData("GET", "/api/serve/rollback", "POST")]
    [InlineData("DELETE", "/api/serve/config", "GET, HEAD")]
    public async Task Request_MethodThatThePathDoesNotHave_Is405AndSaysWhichItHas(string method, string path, string allowed)
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);
        using HttpRequestMessage request = new(new HttpMethod(method), path);

        using HttpResponseMessage response = await admin.SendAsync(request, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.Equal(allowed, string.Join(", ", response.Content.Headers.Allow));
        Assert.Equal($"{method} is nothing that can be done here. This path takes {allowed}.", await ErrorOfAsync(response));
    }

    [Fact]
    public async Task Head_OfWhatGetAnswers_IsTheSameWithoutABody()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);
        using HttpRequestMessage request = new(HttpMethod.Head, "/api/serve/applications/");

        using HttpResponseMessage response = await admin.SendAsync(request, TestServer.Deadline);

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Empty(await response.Content.ReadAsStringAsync(TestServer.Deadline));
    }

    [Fact]
    public async Task Config_DiffOfSomethingElse_Is400()
    {
        await using TestServer server = await StartAsync();
        using HttpClient admin = ClientOf(server);

        using HttpResponseMessage response = await admin.GetAsync("/api/serve/config?diff=walking", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal("diff is 'walking': it must be running, or left out.", await ErrorOfAsync(response));
    }

    /// <summary>The framework's console does not tell that a pipe's reader has gone, so the command asks.</summary>
    [Fact]
    public async Task StatusCommand_Watch_ShowsAgainEverySecondUntilNobodyReads()
    {
        await using TestServer server = await StartAsync();
        ManualTimeProvider time = new();
        using StringWriter output = new();
        int looks = 0;
        CliContext context = new(new DeploymentRegistry(), output, output, _ => null, Colour: false) { Time = time, HasNoReader = () => ++looks > 2 };

        Task<int> watch = ServeCli.RunAsync(["status", "--watch", "--address", server.Server.AdminAddresses[0]], context);
        for (int shown = 1; shown <= 2; shown++)
        {
            await time.WhenArmedAsync(1, TestServer.Deadline);
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(0, await watch.WaitAsync(TestServer.Deadline));
        Assert.Equal(2, output.ToString().Split("APPLICATION ").Length - 1);
    }

    /// <summary>It is well, as nothing of it has failed, and answers nobody: both are to be seen.</summary>
    [Fact]
    public async Task Status_BoxHoldsNoReplicaOfADeployment_SaysThatItIsHeldBack()
    {
        ApplicationConfig echo = new() { Name = "one", RoutePrefix = "/one", ImportPath = "builtin:echo" };
        await using TestServer server = await TestServer.StartAsync(new DeploymentRegistry().AddBuiltIn(), new() { Box = new() { MaxReplicas = 1 }, Applications = [echo, echo with { Name = "two", RoutePrefix = "/two" }] });
        using HttpClient admin = ClientOf(server);
        using TempFolder scratch = new();
        string file = scratch.Write("config.toml", "[box]\nmax_replicas = 1\n[[applications]]\nname = \"one\"\nroute_prefix = \"/one\"\nimport_path = \"builtin:echo\"\n[[applications]]\nname = \"two\"\nroute_prefix = \"/two\"\nimport_path = \"builtin:echo\"\n");
        string address = server.Server.AdminAddresses[0];

        using JsonDocument rays = JsonDocument.Parse(await admin.GetStringAsync("/api/serve/applications/", TestServer.Deadline));
        CliRun table = await CliRun.RunAsync("status", "--address", address);
        CliRun deploy = await CliRun.RunAsync("deploy", file, "--wait", "--address", address);

        JsonElement applications = rays.RootElement.GetProperty("applications");
        Assert.Empty(applications.GetProperty("one").GetProperty("deployments").GetProperty("Echo").GetProperty("message").GetString()!);
        Assert.StartsWith("Held back by the box", applications.GetProperty("two").GetProperty("deployments").GetProperty("Echo").GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Matches("two +/two +Echo +HELD_BACK +0/0 .*Held back by the box", table.Out);
        Assert.Equal(0, deploy.ExitCode);
        Assert.StartsWith("Deployment 'Echo' of application 'two': Held back by the box", deploy.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task DeployCommand_NothingWasEverGood_DoesNotSaySo()
    {
        await using TestServer server = await TestServer.StartAsync(new DeploymentRegistry().AddBuiltIn(), new()
        {
            Applications = [new() { Name = "bad", RoutePrefix = "/bad", ImportPath = "builtin:faulty", Args = "{\"fail_start\":true}", Deployments = [new() { Name = "Faulty", MaxConstructorRetryCount = 1 }] }],
        });
        using TempFolder scratch = new();
        string file = scratch.Write("config.toml", "[[applications]]\nname = \"bad\"\nroute_prefix = \"/bad\"\nimport_path = \"builtin:faulty\"\nargs = { fail_start = true, version = \"v2\" }\n[[applications.deployments]]\nname = \"Faulty\"\nmax_constructor_retry_count = 1\n");

        CliRun deploy = await CliRun.RunAsync("deploy", file, "--wait", "--address", server.Server.AdminAddresses[0]);

        Assert.Equal(1, deploy.ExitCode);
        Assert.Contains(" has failed, and none before it was good: ", deploy.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("one\ntwo", "holds what no request can send: a token is one line of ASCII characters.")]
    [InlineData("n\u00e9w", "holds what no request can send: a token is one line of ASCII characters.")]
    [InlineData(" \n", "is empty.")]
    public async Task Command_TokenThatNobodyCanSend_SaysSo(string token, string error)
    {
        using TempFolder scratch = new();
        string file = scratch.Write("config.toml", token);

        CliRun run = await CliRun.RunAsync("status", "--token-file", file, "--address", "http://127.0.0.1:1");

        Assert.Equal((1, $"The token file {file} {error}"), (run.ExitCode, run.Error.Trim()));
    }

    /// <summary>A server that has nothing to finish ends at once, while the answer to who asked for it may still be on its way.</summary>
    [Fact]
    public async Task StopAsync_AnswerIsOnItsWay_IsSentFirst()
    {
        static Socket Narrow(EndPoint endpoint)
        {
            Socket socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
            socket.SendBufferSize = 1;
            return socket;
        }

        await using AdminServer admin = new([new(IPAddress.Loopback, 0)], new(new("127.0.0.1", []), null), NullLoggerFactory.Instance, null!, Narrow);
        await admin.StartAsync(TestServer.Deadline);
        Uri address = new(admin.Addresses[0]);
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 1 };
        await socket.ConnectAsync(address.Host, address.Port, TestServer.Deadline);
        using RawConnection client = new(socket) { Encoding = Encoding.Latin1 };
        await client.SendAsync($"GET /dashboard.js HTTP/1.1\r\nHost: {address.Authority}\r\nConnection: close\r\n\r\n");
        string begun = await client.ReadUntilAsync("\r\n\r\n");

        Task stopped = admin.StopAsync(TestServer.Deadline);

        string answer = begun + await client.ReadToEndAsync();
        int body = answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4;
        Assert.Contains($"\r\nContent-Length: {answer.Length - body}\r\n", answer[..body], StringComparison.Ordinal);
        await stopped;
    }

    private static Task<TestServer> StartAsync() => TestServer.StartAsync(new DeploymentRegistry().AddBuiltIn(), new()
    {
        Applications =
        [
            new()
            {
                Name = "slow",
                RoutePrefix = "/slow",
                ImportPath = "builtin:slow",
                Deployments = [new() { Name = "SlowDeployment", NumReplicas = 2, MaxOngoingRequests = 3, UserConfig = "{\"delay_s\":0.25}" }],
            },
        ],
    });

    private static HttpClient ClientOf(TestServer server) => new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new(server.Server.AdminAddresses[0]) };

    private static string[] NamesOf(JsonElement element) => [.. element.EnumerateObject().Select(p => p.Name)];

    private static async Task<string> ErrorOfAsync(HttpResponseMessage response)
    {
        using JsonDocument document = JsonDocument.Parse(await response.Content.ReadAsStringAsync(TestServer.Deadline));
        return document.RootElement.GetProperty("error").GetString()!;
    }
}
