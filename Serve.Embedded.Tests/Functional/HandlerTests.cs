using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional;

/// <summary>What handlers of each kind return or write, and what arrives.</summary>
public abstract partial class HandlerTests(ServerForm form)
{
    [Fact]
    public async Task Plain_String_IsTextInUtf8() => await AnswersAsync<string>("grüezi", "text/plain; charset=utf-8", "grüezi");

    [Fact]
    public async Task Plain_Bytes_ArePlainText() => await AnswersAsync("ab"u8.ToArray(), "text/plain", "ab");

    [Fact]
    public async Task Plain_Null_IsAnEmptyBody() => await AnswersAsync<string?>(null, null, "");

    [Fact]
    public async Task Plain_AnythingElse_IsCompactJson() => await AnswersAsync(new Answer(1, "b"), "application/json", """{"a":1,"text":"b"}""");

    [Fact]
    public void Plain_JsonWithoutTypeInfo_IsAnErrorAtRegistration()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => new DeploymentRegistry()
            .AddApplication("test:probe", app => app.Add<HttpRequest, Answer>("Probe", _ => new Plain<Answer>(_ => new(1, "b")))));
        Assert.Contains("JsonTypeInfo", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Plain_HandlerSetsStatusAndHeaders_TheyAreKept()
    {
        await using TestServer server = await ServeAsync<string>(request =>
        {
            request.HttpContext.Response.StatusCode = 201;
            request.HttpContext.Response.Headers["X-Model"] = "m1";
            request.HttpContext.Response.ContentType = "text/html";
            return "<p>";
        });

        using HttpResponseMessage response = await server.Client.GetAsync("/", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        Assert.Equal("m1", Assert.Single(response.Headers.GetValues("X-Model")));
        Assert.Equal("text/html", response.Content.Headers.ContentType!.MediaType);
    }

    [Fact]
    public async Task Plain_AsyncEnumerable_IsSeenChunkByChunkAndHoldsItsPermit()
    {
        TaskCompletionSource goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using TestServer server = await ServeAsync<IAsyncEnumerable<string>>(
            _ => ChunksAsync(goOn.Task), new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 0 });

        using HttpResponseMessage response = await server.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead, TestServer.Deadline);
        using StreamReader body = new(await response.Content.ReadAsStreamAsync(TestServer.Deadline));
        Assert.Equal("one", await body.ReadLineAsync(TestServer.Deadline));
        using HttpResponseMessage refused = await server.Client.GetAsync("/", TestServer.Deadline);
        goOn.SetResult();

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal("two", await body.ReadLineAsync(TestServer.Deadline));
        Assert.Null(await body.ReadLineAsync(TestServer.Deadline));
    }

    [Fact]
    public async Task Plain_StreamThrowsMidway_BodyIsBroken()
    {
        TaskCompletionSource midway = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using TestServer server = await ServeAsync<IAsyncEnumerable<string>>(_ => ChunksAsync(midway.Task));

        using HttpResponseMessage response = await server.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead, TestServer.Deadline);

        // Only now: a connection that breaks off may overtake what was sent on it.
        midway.SetException(new InvalidOperationException("midway"));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => response.Content.ReadAsStringAsync(TestServer.Deadline));

        // The server's log has it, or its host's.
        await TestServer.UntilAsync(() => server.Logs.GetSnapshot().Any(r => r.Level == LogLevel.Error));
        Assert.Contains("midway", Assert.Single(server.Logs.GetSnapshot(), r => r.Level == LogLevel.Error).Exception?.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Echo_BodyIsAnsweredWhileItArrives()
    {
        await using TestServer server = await TestServer.StartAsync(form, new DeploymentRegistry().AddBuiltIn(), new() { Applications = [new() { ImportPath = "builtin:echo" }] });
        using RawConnection connection = await server.ConnectAsync();

        await connection.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        Assert.Contains("hello", await connection.ReadUntilAsync("hello"), StringComparison.Ordinal);
        await connection.SendAsync("6\r\n world\r\n0\r\n\r\n");

        Assert.Contains(" world", await connection.ReadUntilAsync("0\r\n\r\n"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Http_WritesAfterItsTimeout_ThrowAndNeverReachTheClient()
    {
        TaskCompletionSource<Exception> outcome = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using TestServer server = await ServeHttpAsync(
            async (context, cancellationToken) =>
            {
                TaskCompletionSource cancelled = new();
                await using CancellationTokenRegistration registration = cancellationToken.Register(cancelled.SetResult);
                await cancelled.Task;
                try
                {
                    context.Response.Headers["X-Late"] = "1";
                    await context.Response.WriteAsync("too late", CancellationToken.None);
                    outcome.SetResult(new InvalidOperationException("it was written"));
                }
                catch (OperationCanceledException exception)
                {
                    outcome.SetResult(exception);
                }
            },
            new() { RequestTimeout = TimeSpan.FromMilliseconds(50) });

        using HttpResponseMessage response = await server.Client.GetAsync("/", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.RequestTimeout, response.StatusCode);
        Assert.False(response.Headers.Contains("X-Late"));
        Assert.IsType<OperationCanceledException>(await outcome.Task.WaitAsync(TestServer.Deadline));
    }

    [Fact]
    public async Task Http_WritesNothing_StatusAndHeadersArrive()
    {
        await using TestServer server = await ServeHttpAsync((context, _) =>
        {
            context.Response.StatusCode = 204;
            context.Response.Headers["X-A"] = "b";
            return ValueTask.CompletedTask;
        });

        using HttpResponseMessage response = await server.Client.GetAsync("/", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        Assert.Equal("b", Assert.Single(response.Headers.GetValues("X-A")));
    }

    [Fact]
    public async Task Http_ThrowsBeforeItHasWritten_Answers500WithoutItsHeaders()
    {
        await using TestServer server = await ServeHttpAsync((context, _) =>
        {
            context.Response.StatusCode = 200;
            context.Response.Headers["X-A"] = "b";
            throw new InvalidOperationException("no");
        });

        using HttpResponseMessage response = await server.Client.GetAsync("/", TestServer.Deadline);

        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
        Assert.False(response.Headers.Contains("X-A"));
    }

    [Fact]
    public async Task Http_Upgrades_TalksBothWaysPastItsTimeout()
    {
        ManualTimeProvider time = new();
        await using TestServer server = await ServeHttpAsync(
            async (context, cancellationToken) =>
            {
                using Stream stream = await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync();
                byte[] buffer = new byte[4];
                while (await stream.ReadAsync(buffer, cancellationToken) is > 0 and int count)
                {
                    await stream.WriteAsync(buffer.AsMemory(0, count), cancellationToken);
                }
            },
            new() { RequestTimeout = TimeSpan.FromMilliseconds(100) },
            time);
        using RawConnection connection = await server.ConnectAsync();
        await connection.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 101 ", await connection.ReadUntilAsync("\r\n\r\n"), StringComparison.Ordinal);
        time.Advance(TimeSpan.FromHours(1));
        await connection.SendAsync("ping");

        Assert.Equal("ping", await connection.ReadUntilAsync("ping"));
    }

    /// <summary>Who waits for an application that another takes the place of is admitted a second time: what stands before the response by then must not be put before itself.</summary>
    [Fact]
    public async Task Http_UpgradeWaitsWhileItsApplicationIsReplaced_GoesToTheOtherAndUpgrades()
    {
        Probe probe = new();
        DeploymentRegistry registry = probe.Register().AddApplication("test:http", app => app.AddHttp("Other", _ => new Http(async (context, cancellationToken) =>
        {
            using Stream stream = await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync();
            await stream.WriteAsync("moved"u8.ToArray(), cancellationToken);
        })));
        ServeConfig config = Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 1, GracefulShutdownTimeout = TimeSpan.FromMilliseconds(50) });
        await using TestServer server = await TestServer.StartAsync(form, registry, config);
        Task<HttpResponseMessage> first = server.Client.GetAsync("/", TestServer.Deadline);
        ProbeCall running = await probe.NextAsync();
        using RawConnection second = await server.ConnectAsync();
        await second.SendAsync("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        await TestServer.UntilAsync(() => server.Server.Status.Applications.Single().Deployments.Single().Served.Gate.InOrder == 1);

        Task<ApplyOutcome> applied = server.ApplyAsync(config with { Applications = [new() { ImportPath = "test:http" }] });
        string read = await second.ReadUntilAsync("moved");
        running.Return("first");
        (await first).Dispose();
        await applied;

        Assert.StartsWith("HTTP/1.1 101 ", read, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Log_WrittenByAHandler_CarriesTheRequestId()
    {
        TaskCompletionSource<string?> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication(
            "test:probe", app => app.AddBlocking<HttpRequest, string>("Probe", _ => new Blocking(() => seen.SetResult(RequestScope.Current?.RequestId))));
        await using TestServer server = await TestServer.StartAsync(form, registry, Probe.Config());
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        request.Headers.Add("X-Request-ID", "abc");

        await server.Client.SendAsync(request, TestServer.Deadline);

        Assert.Equal("abc", await seen.Task);
    }

    private async Task AnswersAsync<T>(T value, string? contentType, string body)
    {
        await using TestServer server = await ServeAsync(_ => value);
        using HttpResponseMessage response = await server.Client.GetAsync("/", TestServer.Deadline);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(contentType, response.Content.Headers.ContentType?.ToString());
        Assert.Equal(body, await response.Content.ReadAsStringAsync(TestServer.Deadline));
    }

    private Task<TestServer> ServeAsync<T>(Func<HttpRequest, T> handle, DeploymentConfig? deployment = null) => TestServer.StartAsync(
            form, new DeploymentRegistry().AddApplication("test:probe", app => app.Add<HttpRequest, T>(
            "Probe", _ => new Plain<T>(handle), responseJson: HandlerJson.Default.GetTypeInfo(typeof(T)) as System.Text.Json.Serialization.Metadata.JsonTypeInfo<T>)),
        Probe.Config(deployment));

    private Task<TestServer> ServeHttpAsync(Func<HttpContext, CancellationToken, ValueTask> handle, HttpOptionsConfig? http = null, TimeProvider? time = null) => TestServer.StartAsync(
            form, new DeploymentRegistry().AddApplication("test:probe", app => app.AddHttp("Probe", _ => new Http(handle))), Probe.Config(http: http), time);

    private static async IAsyncEnumerable<string> ChunksAsync(Task between, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        yield return "one\n";
        await between.WaitAsync(cancellationToken);
        yield return "two\n";
    }

    internal sealed record Answer(int A, string Text);

    [JsonSerializable(typeof(Answer))]
    [JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
    private sealed partial class HandlerJson : JsonSerializerContext;

    private sealed class Plain<T>(Func<HttpRequest, T> handle) : IDeployment<HttpRequest, T>
    {
        public ValueTask<T> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new(handle(request));
    }

    private sealed class Http(Func<HttpContext, CancellationToken, ValueTask> handle) : IHttpDeployment
    {
        public ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken) => handle(context, cancellationToken);
    }

    private sealed class Blocking(Action handle) : IBlockingDeployment<HttpRequest, string>
    {
        public string Handle(HttpRequest request, CancellationToken cancellationToken)
        {
            handle();
            return "done";
        }
    }
}

public sealed class PortHandlerTests() : HandlerTests(ServerForm.Port);

public sealed class EmbeddedHandlerTests() : HandlerTests(ServerForm.Embedded);
