using System.Net;
using System.Security.Claims;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Serve.Embedded.Config;

namespace Serve.Embedded.Tests.Functional;

/// <summary>A server inside an application with authentication, middleware and services of its own.</summary>
public sealed class EmbeddingTests
{
    [Fact]
    public async Task MapServe_BelowAPrefix_TheHandlerSeesTheHostsContext()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:seen", app => app.AddHttp("Seen", _ => new Seen()));
        await using TestServer server = await TestServer.EmbedAsync(
            registry,
            new() { Applications = [new() { ImportPath = "test:seen", RoutePrefix = "/seen" }] },
            build: builder => builder.Services.AddSingleton(new Greeting("hello")),
            map: app =>
            {
                app.Use((context, next) =>
                {
                    context.Items["item"] = "kept";
                    return next(context);
                });
                app.MapServe("/ml/{tenant}");
            });

        Assert.Equal("/ml/a/seen|/b|kept|hello|a", await server.Client.GetStringAsync("/ml/a/seen/b", TestServer.Deadline));
        Assert.Equal(HttpStatusCode.NotFound, (await server.Client.GetAsync("/seen", TestServer.Deadline)).StatusCode);
        Assert.Equal("success", await server.Client.GetStringAsync("/ml/a/-/healthz", TestServer.Deadline));
    }

    /// <summary>Whoever embeds a server has not asked it to keep anything, and is not told to.</summary>
    [Fact]
    public async Task Start_WithoutAStateDir_WarnsOfNothing()
    {
        await using TestServer server = await TestServer.EmbedAsync(new Probe().Register(), Probe.Config());

        Assert.DoesNotContain(server.Logs.GetSnapshot(), r => r.Level >= LogLevel.Warning);
        Assert.Empty(server.Deployer.View.Notices);
    }

    [Fact]
    public async Task MapServe_RequireAuthorization_AStrangerNeverReachesADeployment()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.EmbedAsync(
            probe.Register(),
            Probe.Config(),
            build: builder =>
            {
                builder.Services.AddAuthentication("key").AddScheme<AuthenticationSchemeOptions, KeyScheme>("key", null);
                builder.Services.AddAuthorization();
            },
            map: app =>
            {
                app.UseAuthentication();
                app.UseAuthorization();
                app.MapServe("/ml").RequireAuthorization();
            });

        using HttpResponseMessage stranger = await server.Client.GetAsync("/ml", TestServer.Deadline);
        using HttpRequestMessage request = new(HttpMethod.Get, "/ml");
        request.Headers.Add("X-Api-Key", "secret");
        Task<HttpResponseMessage> friend = server.Client.SendAsync(request, TestServer.Deadline);
        (await probe.NextAsync()).Return("in");

        Assert.Equal(HttpStatusCode.Unauthorized, stranger.StatusCode);
        Assert.Equal("in", await (await friend).Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.False(probe.TryNext(out _));
    }

    [Fact]
    public async Task MapServe_Refused_TheHostsMiddlewareSeesTheResponseAndThePathAsItWas()
    {
        Probe probe = new();
        List<(int Status, string Path, string PathBase)> seen = [];
        await using TestServer server = await TestServer.EmbedAsync(
            probe.Register(),
            Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0 }, new() { RequestTimeout = TimeSpan.FromMilliseconds(50) }),
            map: app =>
            {
                app.Use(async (context, next) =>
                {
                    await next(context);
                    lock (seen)
                    {
                        seen.Add((context.Response.StatusCode, context.Request.Path, context.Request.PathBase));
                    }
                });
                app.MapServe("/ml");
            });
        Task<HttpResponseMessage> running = server.Client.GetAsync("/ml/run", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        using HttpResponseMessage refused = await server.Client.GetAsync("/ml/refuse", TestServer.Deadline);
        using HttpResponseMessage timedOut = await running;
        call.Return("late");
        while (Count() < 2)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal(HttpStatusCode.RequestTimeout, timedOut.StatusCode);
        Assert.Equal([(503, "/ml/refuse", ""), (408, "/ml/run", "")], seen);

        int Count()
        {
            lock (seen)
            {
                return seen.Count;
            }
        }
    }

    [Fact]
    public async Task MapServe_OneApplicationOrDeployment_TakesItWhateverItsPrefix()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:two", app => app
            .Add<HttpRequest, string>("Front", c => new Says($"front of {c.Application}"))
            .Add<HttpRequest, string>("Back", c => new Says($"back of {c.Application}")));
        await using TestServer server = await TestServer.EmbedAsync(
            registry,
            new() { Applications = [new() { Name = "one", RoutePrefix = "/x", ImportPath = "test:two" }, new() { Name = "two", RoutePrefix = null, ImportPath = "test:two" }] },
            map: app =>
            {
                app.MapServe("/only", application: "two");
                app.MapServe("/back", application: "one", deployment: "Back");
                app.MapServe("/none", application: "three");
            });

        Assert.Equal("front of two", await server.Client.GetStringAsync("/only/x/y", TestServer.Deadline));
        Assert.Equal("back of one", await server.Client.GetStringAsync("/back", TestServer.Deadline));
        Assert.Equal(HttpStatusCode.NotFound, (await server.Client.GetAsync("/none", TestServer.Deadline)).StatusCode);
    }

    [Fact]
    public async Task GetHandle_FromAnEndpointByKey_CallsTheDeployment()
    {
        await using TestServer server = await TestServer.EmbedAsync(
            new(),
            new(),
            build: builder =>
            {
                builder.Services.AddSingleton(new Greeting("hello"));
                builder.Services.AddServe(serve => serve.AddApplication("ml", app => app
                    .Add<Front, HttpRequest, string>("Front")
                    .Add<Greeter, string, string>("Greeter")));
            },
            map: app =>
            {
                app.MapServe("/ml");
                app.Map("/direct/{name}", async context => await context.Response.WriteAsync(
                    await context.RequestServices.GetRequiredKeyedService<DeploymentHandle<string, string>>("ml/Greeter").CallAsync((string)context.Request.RouteValues["name"]!)));
            });

        Assert.Equal("hello, you", await server.Client.GetStringAsync("/direct/you", TestServer.Deadline));
        Assert.Equal("hello, me", await server.Client.GetStringAsync("/ml?name=me", TestServer.Deadline));
    }

    [Fact]
    public async Task GetHandle_ToADeploymentThatTakesBatches_GathersAndReachesEveryReplica()
    {
        await using TestServer server = await TestServer.EmbedAsync(
            new(),
            new(),
            build: builder => builder.Services.AddServe(serve => serve.AddApplication("ml", app => app
                .Add<HttpRequest, string>("Front", _ => new Says("hi"))
                .AddBatch<string, string>("Lengths", _ => new Lengths(), new() { MaxBatchSize = 2, BatchWaitTimeout = TimeSpan.FromDays(1) }))),
            map: app => app.Map("/direct", async context =>
            {
                DeploymentHandle<string, string> lengths = context.RequestServices.GetRequiredKeyedService<DeploymentHandle<string, string>>("ml/Lengths");
                Task<string> first = lengths.CallAsync("a").AsTask();
                string second = await lengths.CallAsync("bc", new CallOptions { SessionId = "s" });
                Task<string> third = lengths.CallAsync("abc").AsTask();
                IReadOnlyList<string> all = await lengths.BroadcastAsync("abcd");
                await context.Response.WriteAsync($"{await first} {second} {await third} {string.Join(',', all)}");
            }));

        Assert.Equal("1/2 2/2 3/2 4/2", await server.Client.GetStringAsync("/direct", TestServer.Deadline));
    }

    [Fact]
    public async Task MapServe_OverHttp2_RefusesAndTimesOutWithoutHeadersOfHttp1()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.EmbedAsync(
            probe.Register(),
            Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0 }, new() { RequestTimeout = TimeSpan.FromMilliseconds(100) }),
            protocols: HttpProtocols.Http2);
        using HttpClient client = server.NewClient();
        client.DefaultRequestVersion = HttpVersion.Version20;
        client.DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact;

        Task<HttpResponseMessage> running = client.GetAsync("/", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        using HttpResponseMessage refused = await client.PostAsync("/", new StringContent("a body that nobody reads"), TestServer.Deadline);
        using HttpResponseMessage timedOut = await running;
        call.Return("late");
        Task<HttpResponseMessage> next = SendUntilAdmittedAsync(client);
        (await probe.NextAsync()).Return("in time");

        Assert.Equal(HttpVersion.Version20, refused.Version);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, HttpStatusCode.RequestTimeout), (refused.StatusCode, timedOut.StatusCode));
        Assert.Equal("in time", await (await next).Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.DoesNotContain(server.Logs.GetSnapshot(), r => r.Message.Contains("invalid for HTTP/2", StringComparison.Ordinal));
    }

    [Fact]
    public async Task MapServeAdmin_OnTheHostsRoutes_IsTheHostsToGuard()
    {
        await using TestServer server = await TestServer.EmbedAsync(
            new DeploymentRegistry(),
            new(),
            build: builder =>
            {
                builder.Services.AddAuthentication("key").AddScheme<AuthenticationSchemeOptions, KeyScheme>("key", null);
                builder.Services.AddAuthorization();
                builder.Services.AddServe(serve => serve.AddApplication("says", app => app.Add<HttpRequest, string>("Says", _ => new Says("hi"))));
            },
            map: app =>
            {
                app.UseAuthentication();
                app.UseAuthorization();
                app.MapServe("/ml");
                app.MapServeAdmin("/serve-admin").RequireAuthorization();
            });
        using HttpResponseMessage stranger = await server.Client.GetAsync("/serve-admin/api/serve/applications/", TestServer.Deadline);
        server.Client.DefaultRequestHeaders.Add("X-Api-Key", "secret");

        string status = await server.Client.GetStringAsync("/serve-admin/api/serve/applications/", TestServer.Deadline);
        using HttpRequestMessage foreign = new(HttpMethod.Delete, "/serve-admin/api/serve/applications/");
        foreign.Headers.Add("Origin", "http://elsewhere.example");
        using HttpResponseMessage refused = await server.Client.SendAsync(foreign, TestServer.Deadline);
        using HttpResponseMessage emptied = await server.Client.DeleteAsync("/serve-admin/api/serve/applications/", TestServer.Deadline);
        using HttpResponseMessage nothing = await server.Client.GetAsync("/serve-admin/nothing", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.Unauthorized, stranger.StatusCode);
        Assert.Contains("\"says\"", status, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.NotFound), (emptied.StatusCode, nothing.StatusCode));
        Assert.Equal("hi", await server.Client.GetStringAsync("/ml", TestServer.Deadline));
    }

    /// <summary>The commands are for a server inside a host too.</summary>
    [Theory]
    [InlineData("serve-admin")]
    [InlineData("serve-admin/")]
    public async Task MapServeAdmin_AddressWithThePrefix_IsWhatCommandsAsk(string prefix)
    {
        await using TestServer server = await TestServer.EmbedAsync(
            new DeploymentRegistry(),
            new(),
            build: builder => builder.Services.AddServe(serve => serve.AddApplication("says", app => app.Add<HttpRequest, string>("Says", _ => new Says("hi")))),
            map: app => app.MapServeAdmin("/serve-admin"));

        Cli.CliRun status = await Cli.CliRun.RunAsync("status", "--address", new Uri(server.Address, prefix).ToString());
        Cli.CliRun elsewhere = await Cli.CliRun.RunAsync("status", "--address", new Uri(server.Address, "nowhere").ToString());

        Assert.Equal((0, string.Empty), (status.ExitCode, status.Error));
        Assert.Contains("Says", status.Out, StringComparison.Ordinal);
        Assert.Equal($"{new Uri(server.Address, "nowhere/api/serve/applications/?view=full")} answered 404. Is it the admin port of a server?\n", elsewhere.Error.ReplaceLineEndings("\n"));
    }

    [Fact]
    public async Task AddHealthChecks_DeploymentFails_IsUnhealthyAndSaysWhy()
    {
        await using TestServer server = await TestServer.EmbedAsync(
            new DeploymentRegistry(),
            new(),
            build: builder =>
            {
                builder.Services.AddHealthChecks().AddServe(tags: ["ready"]);
                builder.Services.AddServe(serve => serve.AddApplication("bad", app => app.Add<HttpRequest, string>(
                    "Bad", _ => throw new InvalidOperationException("no model"), new() { MaxConstructorRetryCount = 1 })));
            },
            map: app => app.MapHealthChecks("/healthz", new()
            {
                ResponseWriter = (context, report) => context.Response.WriteAsync($"{report.Entries["serve"].Status}|{report.Entries["serve"].Data["bad/Bad"]}"),
            }));

        using HttpResponseMessage health = await server.Client.GetAsync("/healthz", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, health.StatusCode);
        string text = await health.Content.ReadAsStringAsync(TestServer.Deadline);
        Assert.StartsWith("Unhealthy|DeployFailed: 0 of 1 replica(s) running.", text, StringComparison.Ordinal);
        Assert.Contains("no model", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task StopAsync_TheHostStops_ARequestThatRunsIsAnswered()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.EmbedAsync(probe.Register(), Probe.Config(), map: app => app.MapServe("/ml"));
        Task<HttpResponseMessage> running = server.Client.GetAsync("/ml", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();

        Task stop = server.StopAsync();
        while (!server.Server.IsDraining)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        call.Return("to the end");
        await stop;

        Assert.Equal("to the end", await (await running).Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.Equal(1, probe.Disposed);
    }

    [Fact]
    public void MapServe_NothingToMap_SaysWhatIsMissing()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        using WebApplication bare = builder.Build();
        Assert.Contains("AddServe", Assert.Throws<InvalidOperationException>(() => bare.MapServe()).Message, StringComparison.Ordinal);

        builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddServe(serve => serve.AddApplication("one", app => app
            .Add<HttpRequest, string>("Front", _ => new Says("hi"))
            .Add<int, int>("Inner", _ => throw new NotSupportedException())));
        using WebApplication host = builder.Build();
        Assert.Contains("'Inner' of application 'one' cannot be mapped", Assert.Throws<ArgumentException>(() => host.MapServe("/x", "one", "Inner")).Message, StringComparison.Ordinal);
        Assert.Contains("Which application", Assert.Throws<ArgumentException>(() => host.MapServe("/x", deployment: "Inner")).Message, StringComparison.Ordinal);
    }

    /// <summary>Until the handler that was answered for has given its permit back.</summary>
    private static async Task<HttpResponseMessage> SendUntilAdmittedAsync(HttpClient client)
    {
        HttpResponseMessage response;
        while ((response = await client.GetAsync("/", TestServer.Deadline)).StatusCode == HttpStatusCode.ServiceUnavailable)
        {
            response.Dispose();
        }

        return response;
    }

    private sealed record Greeting(string Word);

    private sealed class Front([FromKeyedServices("Greeter")] DeploymentHandle<string, string> greeter) : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => greeter.CallAsync(request.Query["name"].ToString(), cancellationToken);
    }

    private sealed class Greeter(Greeting greeting) : IDeployment<string, string>
    {
        public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => new($"{greeting.Word}, {request}");
    }

    private sealed class Lengths : IBatchDeployment<string, string>
    {
        public ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<string> batch, CancellationToken cancellationToken) => new([.. batch.Select(text => $"{text.Length}/{batch.Count}")]);
    }

    private sealed class Says(string text) : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new(text);
    }

    private sealed class Seen : IHttpDeployment
    {
        public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken) => await context.Response.WriteAsync(
            $"{context.Request.PathBase}|{context.Request.Path}|{context.Items["item"]}|{context.RequestServices.GetRequiredService<Greeting>().Word}|{context.Request.RouteValues["tenant"]}",
            cancellationToken);
    }

    internal sealed class KeyScheme(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder) : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
    {
        protected override Task<AuthenticateResult> HandleAuthenticateAsync() => Task.FromResult(Request.Headers["X-Api-Key"] == "secret"
            ? AuthenticateResult.Success(new(new ClaimsPrincipal(new ClaimsIdentity("key")), "key"))
            : AuthenticateResult.NoResult());
    }
}
