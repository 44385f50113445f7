using System.Net;
using System.Text.Json;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>What a deploy does to those who are served meanwhile, whatever it is worth.</summary>
public abstract class DeployConformance(SiteForm form) : ConformanceSuite(form)
{
    [Fact]
    [ContractRow(33)]
    public async Task Deploy_NewVersionDoesNotStart_TheOldServesOnAtFullStrength()
    {
        await using ConformanceSite site = await StartAsync(Version("v1", replicas: 2));
        using CancellationTokenSource enough = new();
        Task<HashSet<string>> load = LoadAsync(site, enough.Token);

        string outcome = await site.DeployAsync(Version("v2", replicas: 2, bad: true));
        JsonElement status = await site.StatusAsync();
        await enough.CancelAsync();

        Assert.Equal(("failed", "DEPLOY_FAILED"), (outcome, status.GetProperty("status").GetString()));
        JsonElement child = status.GetProperty("deployments").GetProperty("Child");
        Assert.Equal(("DEPLOY_FAILED", "REPLICA_STARTUP_FAILED"), (child.GetProperty("status").GetString(), child.GetProperty("status_trigger").GetString()));
        Assert.Contains("v2 was told not to start", child.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal(2, child.GetProperty("replica_states").GetProperty("RUNNING").GetInt32());
        Assert.Equal(["OK v1 v1"], await load);
    }

    [Fact]
    [ContractRow(34)]
    public async Task Deploy_ChainGoesToASecondVersionABadThirdAndBack_NoRequestFailsAndTheThirdNeverAnswers()
    {
        await using ConformanceSite site = await StartAsync(Version("v1"));
        using CancellationTokenSource enough = new();
        Task<HashSet<string>> load = LoadAsync(site, enough.Token);

        Assert.Equal("good", await site.DeployAsync(Version("v2")));
        Assert.Equal("failed", await site.DeployAsync(Version("v3", bad: true)));
        Assert.Equal("good", await site.DeployAsync(Version("v2")));
        await AnswersAsync("v2 v2", site.AskAsync("/"));
        await enough.CancelAsync();

        Assert.All(await load, answer => Assert.DoesNotMatch("^(?!OK )|v3", answer));
    }

    [Fact]
    [ContractRow(36)]
    public async Task Deploy_PrefixMoves_TheSameReplicaServesTheNewPathAndTheOldIsGone()
    {
        await using ConformanceSite site = await StartAsync(App("probe", prefix: "/old"));
        string? before = (await site.AskAsync("/old/say/x")).Header("X-Replica");

        Assert.Equal("good", await site.DeployAsync(App("probe", prefix: "/new")));

        Assert.Equal(before, (await site.AskAsync("/new/say/x")).Header("X-Replica"));
        Assert.Equal(HttpStatusCode.NotFound, (await site.AskAsync("/old/say/x")).Status);
    }

    [Fact]
    [ContractRow(36)]
    public async Task Deploy_OneGoodAndOneBadApplication_TheGoodServesAndTheBadAnswers503()
    {
        await using ConformanceSite site = await StartAsync();

        string outcome = await site.DeployAsync(App("probe", prefix: "/good", name: "good"), Version("v1", bad: true, prefix: "/bad", name: "bad"));

        await AnswersAsync("x", site.AskAsync("/good/say/x"));
        Answer bad = await site.AskAsync("/bad");
        Assert.Equal(("failed", HttpStatusCode.ServiceUnavailable), (outcome, bad.Status));
        Assert.Contains("unavailable", bad.Body, StringComparison.Ordinal);
        Assert.Equal(
            ("RUNNING", "DEPLOY_FAILED"),
            ((await site.StatusAsync("good")).GetProperty("status").GetString(), (await site.StatusAsync("bad")).GetProperty("status").GetString()));
    }

    [Fact]
    [ContractRow(46)]
    public async Task Deploy_ApplicationGoesWithRequestsInside_TheyAreAnswered()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", "\"max_ongoing_requests\":1")));
        Task<Answer> runs = await HoldAsync(site, "first");
        Task<Answer> waits = await QueueAsync(site, "/say/second");

        await site.SendAsync();
        while ((await site.AskAsync("/-/routes")).Body.Contains("app", StringComparison.Ordinal))
        {
            await Task.Yield();
        }

        await site.ReleaseAsync("first");

        await AnswersAsync("first", runs);
        await AnswersAsync("second", waits);
    }

    private static string Version(string version, int replicas = 1, bool bad = false, string prefix = "/", string name = "app") => App(
        "versions",
        Of("Child", $"\"num_replicas\":{replicas},\"max_constructor_retry_count\":1"),
        prefix,
        name,
        $$"""
        "args":{"version":"{{version}}"{{(bad ? ",\"bad\":true" : "")}}}
        """);

    /// <summary>One request after the other. Returns what they were answered.</summary>
    private static async Task<HashSet<string>> LoadAsync(ConformanceSite site, CancellationToken enough)
    {
        HashSet<string> answers = [];
        while (!enough.IsCancellationRequested)
        {
            Answer answer = await site.AskAsync("/");
            answers.Add($"{answer.Status} {answer.Body}");
        }

        return answers;
    }
}

public sealed class PortDeployConformance() : DeployConformance(SiteForm.Port);

public sealed class EmbeddedDeployConformance() : DeployConformance(SiteForm.Embedded);
