using System.Net;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc.ApiExplorer;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Functional;

/// <summary>What a host demands of its endpoints, and what it tells of them, holds for those of MapServe.</summary>
public sealed class HostFeaturesTests
{
    private static CancellationToken Deadline => TestServer.Deadline;

    [Fact]
    public async Task RequireCors_AnotherOrigin_IsTheHostsToAllow()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.EmbedAsync(
            probe.Register(),
            Probe.Config(),
            build: builder => builder.Services.AddCors(cors => cors.AddPolicy("friends", policy => policy.WithOrigins("https://friend.example").WithMethods("POST"))),
            map: app =>
            {
                app.UseCors();
                app.MapServe("/ml").RequireCors("friends");
            });

        using HttpResponseMessage asked = await SendAsync(server, HttpMethod.Options, "https://friend.example", ("Access-Control-Request-Method", "POST"));
        Task<HttpResponseMessage> request = SendAsync(server, HttpMethod.Post, "https://friend.example");
        (await probe.NextAsync()).Return("in");
        using HttpResponseMessage answered = await request;

        Assert.Equal(HttpStatusCode.NoContent, asked.StatusCode);
        Assert.Equal("https://friend.example", asked.Headers.GetValues("Access-Control-Allow-Origin").Single());
        Assert.Equal(("in", "https://friend.example"), (await answered.Content.ReadAsStringAsync(Deadline), answered.Headers.GetValues("Access-Control-Allow-Origin").Single()));
        Assert.False(probe.TryNext(out _));
    }

    /// <summary>The id is of the request that was run. One that a cache of the host answers was none of ours.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Cache_OfTheHost_KeepsNoRequestsId(bool output)
    {
        Probe probe = new();
        await using TestServer server = await TestServer.EmbedAsync(
            probe.Register(),
            Probe.Config(),
            build: builder =>
            {
                builder.Services.AddOutputCache();
                builder.Services.AddResponseCaching();
            },
            map: app =>
            {
                if (output)
                {
                    app.UseOutputCache();
                    app.MapServe("/ml").CacheOutput();
                }
                else
                {
                    app.UseResponseCaching();
                    app.Use(async (context, next) =>
                    {
                        context.Response.Headers.CacheControl = "public, max-age=60";
                        await next(context);
                    });
                    app.MapServe("/ml");
                }
            });

        Task<HttpResponseMessage> asked = SendAsync(server, HttpMethod.Get, "https://friend.example", ("X-Request-ID", "first"));
        (await probe.NextAsync()).Return("kept");
        using HttpResponseMessage first = await asked;
        using HttpResponseMessage second = await SendAsync(server, HttpMethod.Get, "https://friend.example", ("X-Request-ID", "second"));

        Assert.Equal("first", first.Headers.GetValues("X-Request-ID").Single());
        Assert.Equal("kept", await second.Content.ReadAsStringAsync(Deadline));
        Assert.False(second.Headers.Contains("X-Request-ID"));
        Assert.False(probe.TryNext(out _));
    }

    [Fact]
    public async Task RequireRateLimiting_AboveTheHostsLimit_IsRefusedBeforeAdmission()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.EmbedAsync(
            probe.Register(),
            Probe.Config(),
            build: builder => builder.Services.AddRateLimiter(limiter =>
            {
                limiter.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
                limiter.AddConcurrencyLimiter("one", options => options.PermitLimit = 1);
            }),
            map: app =>
            {
                app.UseRateLimiter();
                app.MapServe("/ml").RequireRateLimiting("one");
            });
        Task<string> first = server.Client.GetStringAsync("/ml", Deadline);
        ProbeCall call = await probe.NextAsync();

        using HttpResponseMessage second = await server.Client.GetAsync("/ml", Deadline);
        call.Return("in");

        Assert.Equal((HttpStatusCode.TooManyRequests, "in"), (second.StatusCode, await first));
        Assert.Equal(1, server.Server.Status.Applications[0].Deployments[0].Served.Gate.Totals.Arrived);
    }

    /// <summary>An endpoint of the host's own that calls a deployment answers for it as MapServe does, and for nothing else.</summary>
    [Theory]
    [InlineData("full", 429, "7", "application/problem+json", true)]
    [InlineData("full", 429, "7", "text/plain; charset=utf-8", false)]
    [InlineData("waited", 429, "7", "application/problem+json", true)]
    [InlineData("unknown", 503, null, "application/problem+json", true)]
    [InlineData("throws", 500, null, "application/problem+json", true)]
    public async Task ServeExceptionHandler_AHandleRefusesInAnEndpointOfTheHost_AnswersWithTheDeploymentsStatus(string what, int status, string? retryAfter, string contentType, bool takesProblems)
    {
        Calls calls = new();
        await using TestServer server = await TestServer.EmbedAsync(
            new DeploymentRegistry().AddApplication("test:calls", app => app
                .Add<HttpRequest, string>("Front", _ => new Speaker())
                .Add<string, string>("Calls", _ => calls, new() { MaxOngoingRequests = 1, MaxQueuedRequests = 1 })),
            new() { Applications = [new() { Name = "app", ImportPath = "test:calls", RoutePrefix = null, Deployments = [new() { Name = "Calls", Backpressure = new() { StatusCode = 429, RetryAfterS = 7 } }] }] },
            build: builder => builder.Services.AddProblemDetails().AddExceptionHandler<ServeExceptionHandler>(),
            map: app =>
            {
                app.UseExceptionHandler();
                DeploymentHandle<string, string> handle = app.Services.GetRequiredService<IServeHandles>().GetHandle<string, string>("app", "Calls");
                DeploymentHandle<string, string> nobody = app.Services.GetRequiredService<IServeHandles>().GetHandle<string, string>("app", "Nobody");
                app.Map("/call", async context => await context.Response.WriteAsync(await handle.CallAsync("", context.RequestAborted), context.RequestAborted));
                app.Map("/waited", context => context.Response.WriteAsync(handle.CallAsync("", context.RequestAborted).AsTask().Result, context.RequestAborted));
                app.Map("/full", async context => await handle.CallAsync("", context.RequestAborted));
                app.Map("/unknown", async context => await nobody.CallAsync("", context.RequestAborted));
                app.Map("/throws", _ => throw new TimeoutException("the host's"));
            });
        Task<string>[] two = [server.Client.GetStringAsync("/call", Deadline), server.Client.GetStringAsync("/call", Deadline)];
        await SheddingTests.WaitingAsync(server, 1);

        using HttpRequestMessage request = new(HttpMethod.Get, $"/{what}");
        request.Headers.Add("Accept", takesProblems ? "*/*" : "text/html");
        using HttpResponseMessage response = await server.Client.SendAsync(request, Deadline);
        string body = await response.Content.ReadAsStringAsync(Deadline);
        calls.Ends.SetResult("answer");

        Assert.Equal((status, contentType), ((int)response.StatusCode, response.Content.Headers.ContentType?.ToString()));
        Assert.Equal(retryAfter, response.Headers.RetryAfter?.Delta?.TotalSeconds.ToString(System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(retryAfter is not null, body.Contains("Request dropped due to backpressure (num_queued_requests=1, max_queued_requests=1)", StringComparison.Ordinal));
        Assert.Equal(what == "unknown", body.Contains("Nobody", StringComparison.Ordinal));
        Assert.Equal(["answer", "answer"], await Task.WhenAll(two));

        // What was answered is no failure of the host.
        Assert.Equal(what == "throws", server.Logs.GetSnapshot().Any(r => r.Level >= LogLevel.Error));
    }

    [Fact]
    public async Task AccessLog_OfAHost_GoesToItsLoggerUnderTheRequestsId()
    {
        await using TestServer server = await TestServer.EmbedAsync(Says(), new() { Applications = [new() { ImportPath = "test:says", RoutePrefix = "/says" }] }, map: app => app.MapServe("/ml"));
        using HttpRequestMessage request = new(HttpMethod.Get, "/ml/says");
        request.Headers.Add("X-Request-ID", "id-1");

        using HttpResponseMessage response = await server.Client.SendAsync(request, Deadline);
        await server.LogAsync(EventIds.RequestHandled);

        Assert.Equal(("Serve.Proxy.Access", "id-1"), (server.LogsOf(EventIds.RequestHandled).Single().Category, server.LogsOf(EventIds.RequestHandled).Single().GetStructuredStateValue("RequestId")));
    }

    [Fact]
    public async Task ApiDescriptions_OfAllApplications_AreEachWhereItAnswersWithWhatItAnswers()
    {
        await using WebApplication host = await StartAsync(app => app.MapServe("/ml/{tenant}"));

        IReadOnlyList<ApiDescription> described = Described(host);

        Assert.Equal(["GET ml/{tenant}/says", "POST ml/{tenant}/says", "GET ml/{tenant}", "POST ml/{tenant}"], described.Select(d => $"{d.HttpMethod} {d.RelativePath}"));
        Assert.Equal(["200 String text/plain", "503 String text/plain"], described[0].SupportedResponseTypes.Select(Text));
        Assert.Equal(["200 Int32[] application/json", "503 String text/plain"], described[2].SupportedResponseTypes.Select(Text));
        Assert.Equal("tenant", Assert.Single(described[0].ParameterDescriptions).Name);
        Assert.Equal("says", Assert.Single(Metadata<ITagsMetadata>(described[0]).Tags));
        Assert.Equal("Application says", Metadata<IEndpointSummaryMetadata>(described[0]).Summary);
    }

    [Fact]
    public async Task ApiDescriptions_WithWhatTheConventionsSay_SayThat()
    {
        await using WebApplication host = await StartAsync(app =>
        {
            app.MapServe("/orders/{id:int}/summary", application: "numbers")
                .WithTags("orders").WithSummary("Sums up").WithName("SumUp").Accepts<string>("application/json").Produces<double>(200, "application/json").WithMetadata(new HttpMethodMetadata(["POST"]));
            app.MapServe("/hidden").ExcludeFromDescription();
        });

        ApiDescription described = Assert.Single(Described(host));

        Assert.Equal("POST orders/{id}/summary", $"{described.HttpMethod} {described.RelativePath}");
        Assert.Equal([("id", typeof(int)), ("body", typeof(string))], described.ParameterDescriptions.Select(p => (p.Name, p.Type)));
        Assert.Equal("application/json", Assert.Single(described.SupportedRequestFormats).MediaType);
        Assert.Equal(["200 Double application/json"], described.SupportedResponseTypes.Select(Text));
        Assert.Equal(("orders", "Sums up", "SumUp"), (
            Metadata<ITagsMetadata>(described).Tags.Single(), Metadata<IEndpointSummaryMetadata>(described).Summary, Metadata<IEndpointNameMetadata>(described).EndpointName));
    }

    private static async Task<WebApplication> StartAsync(Action<WebApplication> map)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddEndpointsApiExplorer();
        builder.Services.AddServe(serve => serve
            .AddApplication("says", "/says", app => app.Add<HttpRequest, string>("Says", _ => new Speaker()))
            .AddApplication("numbers", app => app.Add<HttpRequest, int[]>("Numbers", _ => new Numbers(), responseJson: HostFeaturesJson.Default.Int32Array))
            .AddApplication("inner", routePrefix: null, app => app.Add<HttpRequest, string>("Inner", _ => new Speaker())));
        WebApplication host = builder.Build();
        map(host);
        await host.StartAsync(Deadline);
        return host;
    }

    private static IReadOnlyList<ApiDescription> Described(WebApplication host) =>
        [.. host.Services.GetRequiredService<IApiDescriptionGroupCollectionProvider>().ApiDescriptionGroups.Items.SelectMany(g => g.Items)];

    private static string Text(ApiResponseType response) => $"{response.StatusCode} {response.Type?.Name} {string.Join(' ', response.ApiResponseFormats.Select(f => f.MediaType))}";

    private static T Metadata<T>(ApiDescription described) => Assert.Single(described.ActionDescriptor.EndpointMetadata.OfType<T>());

    private static DeploymentRegistry Says() => new DeploymentRegistry().AddApplication("test:says", app => app.Add<HttpRequest, string>("Says", _ => new Speaker()));

    private static Task<HttpResponseMessage> SendAsync(TestServer server, HttpMethod method, string origin, params (string Name, string Value)[] headers)
    {
        HttpRequestMessage request = new(method, "/ml");
        request.Headers.Add("Origin", origin);
        foreach ((string name, string value) in headers)
        {
            request.Headers.Add(name, value);
        }

        return server.Client.SendAsync(request, Deadline);
    }

    private sealed class Speaker : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("said");
    }

    private sealed class Numbers : IDeployment<HttpRequest, int[]>
    {
        public ValueTask<int[]> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new([1, 2]);
    }

    private sealed class Calls : IDeployment<string, string>
    {
        public TaskCompletionSource<string> Ends { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => new(Ends.Task.WaitAsync(cancellationToken));
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(int[]))]
internal sealed partial class HostFeaturesJson : System.Text.Json.Serialization.JsonSerializerContext;
