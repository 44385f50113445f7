using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Config;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Deployments;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class SpanTests : IDisposable
{
    private const string ClientTrace = "0af7651916cd43dd8448eb211c80319c";
    private const string ClientSpan = "b7ad6b7169203331";
    private const string TraceParent = $"00-{ClientTrace}-{ClientSpan}-01";

    private readonly TestTelemetry _test = new();

    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    public void Dispose() => _test.Dispose();

    [Fact]
    public async Task Request_WithAComposedCall_IsOneTraceFromTheClientDown()
    {
        using TestSpans spans = _test.Trace();
        await using TestServer server = await TestServer.StartAsync(Composed(), Config(), telemetry: _test.Telemetry);

        IReadOnlyList<Activity> ended = await SendAsync(server, spans);

        Activity request = Named(ended, SpanNames.HttpRequest);
        Assert.Equal((ActivityKind.Server, ClientSpan), (request.Kind, request.ParentSpanId.ToHexString()));
        Assert.Equal(("GET", "/front/x", "/front", 200, "app"), (
            request.GetTagItem(SpanNames.MethodTag), request.GetTagItem(SpanNames.PathTag), request.GetTagItem(SpanNames.RouteTag), request.GetTagItem(SpanNames.StatusCodeTag), request.GetTagItem(SpanNames.ApplicationTag)));
        AssertComposed(ended, request.SpanId);
        Assert.All(ended, span => Assert.Equal("id-1", span.GetTagItem(SpanNames.RequestIdTag)));
    }

    [Fact]
    public async Task Request_OfAHost_IsAChildOfTheHostsOwnSpan()
    {
        await using TestServer server = await TestServer.EmbedAsync(Composed(), Config(), map: app =>
        {
            app.Use((context, next) =>
            {
                context.Response.Headers["X-Host-Span"] = Activity.Current!.SpanId.ToHexString();
                return next(context);
            });
            app.MapServe();
        });
        using TestSpans spans = new(Embedded(server).Spans);
        using HttpRequestMessage request = Request();

        using HttpResponseMessage response = await server.Client.SendAsync(request, Deadline);
        IReadOnlyList<Activity> ended = await spans.EndedAsync(4);

        AssertComposed(ended, ActivitySpanId.CreateFromString(response.Headers.GetValues("X-Host-Span").Single()));
        Assert.Equal(4, ended.Count);
    }

    [Fact]
    public async Task Request_ThatFails_SaysSoInEverySpan()
    {
        using TestSpans spans = _test.Trace();
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:app", app => app.Add<HttpRequest, string>("Front", _ => new Throws()));
        await using TestServer server = await TestServer.StartAsync(registry, Config(), telemetry: _test.Telemetry);

        using HttpResponseMessage response = await server.Client.GetAsync("/front", Deadline);
        IReadOnlyList<Activity> ended = await spans.EndedAsync(3);

        Assert.All(ended, span => Assert.Equal(ActivityStatusCode.Error, span.Status));
        Assert.Equal("500", Named(ended, SpanNames.RouteToReplica).GetTagItem(SpanNames.ErrorTag));
    }

    [Fact]
    public async Task Call_Refused_HasASpanOfItsWaitAndNoneOfAnyWork()
    {
        using TestSpans spans = _test.Trace();
        TestDeployment<int, int> deployment = new((_, request, _) => new(request), maxQueued: 0, telemetry: _test.Telemetry);

        await Assert.ThrowsAsync<BackPressureException>(async () => await deployment.Caller.CallAsync(1, Deadline));

        Activity span = Assert.Single(spans.Ended);
        Assert.Equal((SpanNames.RouteToReplica, ActivityStatusCode.Error, typeof(BackPressureException).FullName), (span.OperationName, span.Status, span.GetTagItem(SpanNames.ErrorTag)));
        Assert.Null(Activity.Current);
    }

    [Fact]
    public async Task Calls_OfSiblings_AreChildrenOfTheirCallerAndNotOfEachOther()
    {
        using TestSpans spans = _test.Trace();
        TestDeployment<int, int> deployment = new(
            async (_, request, _) =>
            {
                await Task.Yield();
                return request;
            },
            limit: 2,
            telemetry: _test.Telemetry);
        await deployment.AddAsync();
        using Activity caller = new Activity("caller").Start();

        Task<int> one = deployment.Caller.CallAsync(1, Deadline).AsTask();
        Task<int> other = deployment.Caller.CallAsync(2, Deadline).AsTask();
        await Task.WhenAll(one, other);

        Assert.Same(caller, Activity.Current);
        Assert.All(spans.Ended.Where(s => s.OperationName == SpanNames.RouteToReplica), s => Assert.Equal(caller.SpanId, s.ParentSpanId));
        Assert.Equal(4, spans.Ended.Count);
    }

    [Fact]
    public async Task Stream_ReadItemByItem_IsOneSpanThatIsAmbientInItsHandlerAlone()
    {
        using TestSpans spans = _test.Trace();
        List<ActivitySpanId?> inside = [];
        TestDeployment<int, IAsyncEnumerable<int>> deployment = new((_, count, _) => new(Items(count)), telemetry: _test.Telemetry);
        await deployment.AddAsync();
        using Activity caller = new Activity("caller").Start();

        await foreach (int _ in deployment.Caller.StreamAsync(2, Deadline))
        {
            Assert.Same(caller, Activity.Current);
            Assert.Empty(spans.Ended);
        }

        Assert.Equal([SpanNames.HandleRequest, SpanNames.RouteToReplica], spans.Ended.Select(s => s.OperationName));
        Assert.Equal([spans.Ended[0].SpanId, spans.Ended[0].SpanId], inside);

        async IAsyncEnumerable<int> Items(int count)
        {
            for (int i = 0; i < count; i++)
            {
                await Task.Yield();
                inside.Add(Activity.Current?.SpanId);
                yield return i;
            }
        }
    }

    [Fact]
    public async Task Batch_OfTracedCallers_HasASpanWithALinkToEach()
    {
        using TestSpans spans = _test.Trace();
        using TestBatcher batcher = new(new() { MaxBatchSize = 2 }, telemetry: _test.Telemetry);
        using Activity first = new Activity("first").Start();
        Task<string> one = batcher.Call(1);
        using Activity second = new Activity("second").Start();
        Task<string> other = batcher.Call(2);

        batcher.Batches[0].End();
        await Task.WhenAll(one, other).WaitAsync(Deadline);

        Activity batch = Assert.Single(spans.Ended);
        Assert.Equal((SpanNames.HandleBatch, 2), (batch.OperationName, batch.GetTagItem(SpanNames.BatchSizeTag)));
        Assert.Equal([first.SpanId, second.SpanId], batch.Links.Select(l => l.Context.SpanId));
        Assert.Null(batch.ParentId);
    }

    private static DeploymentRegistry Composed() => new DeploymentRegistry().AddApplication("test:app", app => app
        .Add<HttpRequest, string>("Front", context => new Front(context.GetHandle<string, string>("Model")))
        .AddBlocking<string, string>("Model", _ => new Model()));

    private static ServeConfig Config() => new() { Applications = [new() { Name = "app", RoutePrefix = "/front", ImportPath = "test:app" }] };

    private static HttpRequestMessage Request()
    {
        HttpRequestMessage request = new(HttpMethod.Get, "/front/x");
        request.Headers.Add("traceparent", TraceParent);
        request.Headers.Add("X-Request-ID", "id-1");
        return request;
    }

    private static async Task<IReadOnlyList<Activity>> SendAsync(TestServer server, TestSpans spans)
    {
        using HttpRequestMessage request = Request();
        using HttpResponseMessage response = await server.Client.SendAsync(request, Deadline);
        Assert.Equal("modelled", await response.Content.ReadAsStringAsync(Deadline));
        return await spans.EndedAsync(5);
    }

    private static void AssertComposed(IReadOnlyList<Activity> ended, ActivitySpanId parent)
    {
        Assert.All(ended, span => Assert.Equal(ClientTrace, span.TraceId.ToHexString()));
        foreach (string deployment in (string[])["Front", "Model"])
        {
            Activity call = ended.Single(s => s.OperationName == SpanNames.RouteToReplica && (string?)s.GetTagItem(SpanNames.DeploymentTag) == deployment);
            Activity work = ended.Single(s => s.OperationName == SpanNames.HandleRequest && (string?)s.GetTagItem(SpanNames.DeploymentTag) == deployment);
            Assert.Equal((parent, call.SpanId), (call.ParentSpanId, work.ParentSpanId));
            Assert.NotNull(work.GetTagItem(SpanNames.ReplicaTag));
            parent = work.SpanId;
        }
    }

    private static Activity Named(IEnumerable<Activity> spans, string name) => spans.Single(s => s.OperationName == name);

    private static ServeTelemetry Embedded(TestServer server) => server.Host!.Services.GetRequiredService<ServeHost>().Running!.Telemetry;

    private sealed class Front(DeploymentHandle<string, string> model) : IDeployment<HttpRequest, string>
    {
        public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
        {
            await Task.Yield();
            return await model.CallAsync("model", cancellationToken);
        }
    }

    private sealed class Model : IBlockingDeployment<string, string>
    {
        public string Handle(string request, CancellationToken cancellationToken) => $"{request}led";
    }

    private sealed class Throws : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => throw new InvalidDataException();
    }
}
