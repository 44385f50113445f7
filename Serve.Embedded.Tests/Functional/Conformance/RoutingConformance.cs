using System.Net;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>Paths, built-in ones too, and what a request brings and gets beside its body.</summary>
public abstract class RoutingConformance(SiteForm form) : ConformanceSuite(form)
{
    [Fact]
    [ContractRow(37)]
    public async Task Get_SeveralPrefixes_GoesToTheLongestThatEndsAtASegment()
    {
        await using ConformanceSite site = await StartAsync(
            App("probe", prefix: "/", name: "root"),
            App("probe", prefix: "/hello", name: "hello"),
            App("probe", prefix: "/hello/world", name: "world"),
            App("probe", prefix: "/hello/world/again", name: "again"));

        foreach ((string path, string root) in new[]
        {
            ("/", ""), ("/anything/else", ""), ("/helloworld", ""), ("/hello", "/hello"), ("/hello/", "/hello"), ("/hello/a", "/hello"),
            ("/hello/world", "/hello/world"), ("/hello/world/", "/hello/world"), ("/hello/worlds", "/hello"),
            ("/hello/world/again", "/hello/world/again"), ("/hello/world/again/and/again", "/hello/world/again"),
        })
        {
            Answer answer = await site.AskAsync(path);
            Assert.True(answer.Status == HttpStatusCode.OK && (answer.Header("X-Root") ?? "") == root, $"{path} went to '{answer.Header("X-Root")}', not to '{root}'.");
        }
    }

    [Fact]
    [ContractRow(37)]
    public async Task Get_NoApplicationHasThePath_Answers404InRaysWords()
    {
        await using ConformanceSite site = await StartAsync(App("probe", prefix: "/hello"));

        Answer answer = await site.AskAsync("/nothing/here");

        Assert.Equal((HttpStatusCode.NotFound, "Path '/nothing/here' not found. Ping http://.../-/routes for available routes."), (answer.Status, answer.Body));
    }

    [Fact]
    [ContractRow(37)]
    public async Task BuiltInPaths_Serving_SayWhatIsServed()
    {
        await using ConformanceSite site = await StartAsync(App("probe", prefix: "/hello", name: "hello"));

        Assert.Equal("success", (await site.AskAsync("/-/healthz")).Body);
        Assert.Equal("""{"/-board":"board","/hello":"hello"}""", (await site.AskAsync("/-/routes")).Body);
    }

    [Fact]
    [ContractRow(37)]
    public async Task Get_HandlerThrows_Answers500WithoutTheReason()
    {
        await using ConformanceSite site = await StartAsync(App("probe"));

        Answer answer = await site.AskAsync("/throw/x");

        Assert.Equal((HttpStatusCode.InternalServerError, "Internal Server Error"), (answer.Status, answer.Body));
    }

    [Fact]
    [ContractRow(38)]
    public async Task RequestId_WithoutOne_IsAUuid4ThatTheHandlerSeesToo()
    {
        await using ConformanceSite site = await StartAsync(App("probe"));

        Answer answer = await site.AskAsync("/say/x");

        Guid id = Guid.Parse(answer.Header("X-Request-ID")!);
        Assert.Equal(4, id.Version);
        Assert.InRange(id.Variant, 8, 11);
        Assert.Equal(answer.Header("X-Request-ID"), answer.Header("X-Seen-Id"));
    }

    [Fact]
    [ContractRow(38)]
    public async Task RequestId_TwentyAtOnceWithTheSameOverThreeReplicas_EachGetsItsOwnBodyBack()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", "\"num_replicas\":3")));

        Answer[] answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(async i =>
        {
            using HttpRequestMessage request = new(HttpMethod.Post, "/") { Content = new StringContent($"body {i}") };
            request.Headers.Add("X-Request-ID", "the same");
            return await site.AskAsync(request);
        }));

        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"body {i}"), answers.Select(a => a.Body));
        Assert.All(answers, a => Assert.Equal(("the same", "the same"), (a.Header("X-Request-ID"), a.Header("X-Seen-Id"))));
    }
}

public sealed class PortRoutingConformance() : RoutingConformance(SiteForm.Port);

public sealed class EmbeddedRoutingConformance() : RoutingConformance(SiteForm.Embedded);
