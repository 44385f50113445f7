using System.Net;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Functional;

public abstract class RoutingTests(ServerForm form)
{
    [Fact]
    public async Task Get_UnderAPrefix_HandlerSeesThePathBelowIt()
    {
        Probe probe = new();
        ServeConfig config = Probe.Config();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), config with { Applications = [config.Applications[0] with { RoutePrefix = "/a/b" }] });

        Task<HttpResponseMessage> running = server.Client.GetAsync("/a/b/c?d=e", TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        call.Return("ok");
        await running;

        Assert.Equal("/a/b", call.PathBase);
        Assert.Equal("/c", call.Path);
    }

    [Fact]
    public async Task BuiltInPaths_NothingExposedYet_SayThatTheRouteTableIsEmpty()
    {
        await using TestServer server = await TestServer.StartAsync(form, Names(), Apps(("hidden", null)));

        foreach (string path in new[] { "/-/healthz", "/-/readyz", "/-/routes" })
        {
            using HttpResponseMessage response = await server.Client.GetAsync(path, TestServer.Deadline);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.Equal("Route table is not populated yet.", await response.Content.ReadAsStringAsync(TestServer.Deadline));
        }
    }

    [Fact]
    public async Task BuiltInPaths_Serving_AnswerAndStayAliveWhenNothingIsExposedAnyMore()
    {
        await using TestServer server = await TestServer.StartAsync(form, Names(), Apps(("root", "/"), ("hello", "/hello")));
        Assert.Equal("success", await server.Client.GetStringAsync("/-/healthz", TestServer.Deadline));
        Assert.Equal("success", await server.Client.GetStringAsync("/-/readyz", TestServer.Deadline));
        Assert.Equal("""{"/":"root","/hello":"hello"}""", await server.Client.GetStringAsync("/-/routes", TestServer.Deadline));

        await server.ApplyAsync(new());

        Assert.Equal("success", await server.Client.GetStringAsync("/-/healthz", TestServer.Deadline));
        Assert.Equal("{}", await server.Client.GetStringAsync("/-/routes", TestServer.Deadline));
        Assert.Equal(HttpStatusCode.NotFound, (await server.Client.GetAsync("/", TestServer.Deadline)).StatusCode);
        Assert.DoesNotContain(server.LogsOf(EventIds.RequestHandled), r => r.Message.Contains("/-/", StringComparison.Ordinal));
    }

    /// <summary>A load balancer that sent nobody would let it sleep for ever.</summary>
    [Fact]
    public async Task Readyz_DeploymentThatTheLoadHasBroughtToZero_IsReady()
    {
        await using TestServer server = await TestServer.StartAsync(form, Names(), new()
        {
            Applications = [new() { Name = "asleep", RoutePrefix = "/", ImportPath = "test:name", Deployments = [new() { Name = "Name", Autoscaling = new() { MinReplicas = 0 } }] }],
        });

        Assert.Equal("success", await server.Client.GetStringAsync("/-/readyz", TestServer.Deadline));
        Assert.Equal("asleep", await server.Client.GetStringAsync("/", TestServer.Deadline));
    }

    /// <summary>Nobody wakes what the box has no place for.</summary>
    [Fact]
    public async Task Readyz_DeploymentThatTheBoxHasNoPlaceFor_IsNotReady()
    {
        await using TestServer server = await TestServer.StartAsync(form, Names(), Apps(("root", "/"), ("hello", "/hello")) with { Box = new() { MaxReplicas = 1 } });

        using HttpResponseMessage response = await server.Client.GetAsync("/-/readyz", TestServer.Deadline);

        Assert.Equal((HttpStatusCode.ServiceUnavailable, "No replicas are available yet."), (response.StatusCode, await response.Content.ReadAsStringAsync(TestServer.Deadline)));
    }

    [Fact]
    public async Task Get_HandlerThrows_Answers500AndLogsWhy()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(form, probe.Register(), Probe.Config());
        Task<HttpResponseMessage> running = server.Client.GetAsync("/", TestServer.Deadline);
        (await probe.NextAsync()).Throw(new InvalidOperationException("the model is on fire"));

        using HttpResponseMessage response = await running;

        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
        Assert.Equal("Internal Server Error", await response.Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.Equal("the model is on fire", (await server.LogAsync(EventIds.RequestFailed)).Exception!.Message);
    }

    [Theory]
    [InlineData("mine", true)]
    [InlineData("", false)]
    [InlineData("two words!", true)]
    public async Task Get_WithAnId_IsEchoedWhereItCanBe(string id, bool echoed)
    {
        await using TestServer server = await TestServer.StartAsync(form, Names(), Apps(("root", "/")));
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        request.Headers.TryAddWithoutValidation("X-Request-ID", id);

        using HttpResponseMessage response = await server.Client.SendAsync(request, TestServer.Deadline);

        Assert.Equal(echoed, Assert.Single(response.Headers.GetValues("X-Request-ID")) == id);
    }

    [Fact]
    public async Task Post_BodyLargerThanAllowed_Answers413WhetherItSaysItsLengthOrNot()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddBuiltIn();
        await using TestServer server = await TestServer.StartAsync(
            form, registry, new() { Http = new() { MaxRequestBodyBytes = 10 }, Applications = [new() { ImportPath = "builtin:echo" }] });
        using RawConnection known = await server.ConnectAsync();
        using RawConnection chunked = await server.ConnectAsync();

        await known.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
        await chunked.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 413 ", await known.ReadUntilAsync("max_request_body_bytes = 10"), StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 413 ", await chunked.ReadUntilAsync("\r\n\r\n"), StringComparison.Ordinal);
    }

    /// <summary>Each application answers with its name.</summary>
    private protected static DeploymentRegistry Names() =>
        new DeploymentRegistry().AddApplication("test:name", app => app.Add<HttpRequest, string>("Name", c => new Name(c.Application)));

    private protected static ServeConfig Apps(params (string Name, string? Prefix)[] applications) =>
        new() { Applications = [.. applications.Select(a => new ApplicationConfig { Name = a.Name, RoutePrefix = a.Prefix, ImportPath = "test:name" })] };

    private sealed class Name(string application) : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new(application);
    }
}

public sealed class PortRoutingTests() : RoutingTests(ServerForm.Port)
{
    [Fact]
    public async Task Connect_MoreThanMaxConnections_IsToldWhyAndClosed()
    {
        await using TestServer server = await TestServer.StartAsync(Names(), Apps(("root", "/")) with { Http = new() { MaxConnections = 1 } });
        using RawConnection first = await server.ConnectAsync();
        await first.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await first.ReadUntilAsync("root");
        using RawConnection second = await server.ConnectAsync();
        await second.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

        string refused = await second.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 503 ", refused, StringComparison.Ordinal);
        Assert.Contains("http_options.max_connections", refused, StringComparison.Ordinal);
        Assert.Contains("\r\nX-Request-Not-Run: ?1\r\n", refused, StringComparison.Ordinal);
        await first.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await first.ReadUntilAsync("root");
    }
}

public sealed class EmbeddedRoutingTests() : RoutingTests(ServerForm.Embedded);
