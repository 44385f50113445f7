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

    /// <summary>Ten of the old and two that start; then as many old ones go as new ones serve, and never fewer than ten do.</summary>
    [Fact]
    public async Task Deploy_TenReplicasStartFirst_TwoNewOnesAtATimeBesideTheOld()
    {
        await using ConformanceSite site = await StartAsync(Ten("v1", "start_first"));
        Wave wave = await BeginAsync(site, Ten("v2", "start_first"));

        for (int fresh = 0; fresh <= 8; fresh += 2)
        {
            IReadOnlyList<string> starting = await wave.ReachesAsync(old: 10 - fresh, fresh, starting: 2, atLeast: 10);
            await Task.WhenAll(starting.Select(site.ReleaseAsync));
        }

        await wave.ReachesAsync(old: 0, fresh: 10, starting: 0, atLeast: 10);
    }

    /// <summary>Ray Serve's own arithmetic: two old ones go while two new ones start, and then one for one.</summary>
    [Fact]
    [ContractRow(27)]
    public async Task Deploy_TenReplicasReplaced_TwoOldOnesGoWhileTwoNewOnesStart()
    {
        await using ConformanceSite site = await StartAsync(Ten("v1", "replace"));
        Wave wave = await BeginAsync(site, Ten("v2", "replace"));

        for (int fresh = 0; fresh < 10; fresh++)
        {
            IReadOnlyList<string> starting = await wave.ReachesAsync(old: Math.Max(0, 8 - fresh), fresh, starting: Math.Min(2, 10 - fresh), atLeast: 8);
            await site.ReleaseAsync(starting[0]);
        }

        await wave.ReachesAsync(old: 0, fresh: 10, starting: 0, atLeast: 8);
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

    private static string Ten(string version, string rolling) => App(
        "versions",
        Of("Child", $"\"num_replicas\":10,\"rolling_update_percentage\":0.2,\"rolling_update\":\"{rolling}\""),
        more: $$"""
        "args":{"version":"{{version}}"{{(version == "v1" ? "" : ",\"slow\":true")}}}
        """);

    private static async Task<Wave> BeginAsync(ConformanceSite site, string application)
    {
        Wave wave = new(site, [.. (await site.ReplicasAsync("Child")).Select(r => r.Id)]);
        await site.SendAsync(application);
        return wave;
    }

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

/// <summary>How far a rollout is, by the replicas that the server shows.</summary>
/// <param name="site">Where.</param>
/// <param name="before">The replicas that there were.</param>
internal sealed class Wave(ConformanceSite site, HashSet<string> before)
{
    /// <summary>Until so many old and new ones serve and so many start; never do fewer than <paramref name="atLeast"/> serve meanwhile.</summary>
    /// <returns>Those that start.</returns>
    public async Task<IReadOnlyList<string>> ReachesAsync(int old, int fresh, int starting, int atLeast)
    {
        while (true)
        {
            IReadOnlyList<(string Id, string State)> replicas = await site.ReplicasAsync("Child");
            string[] serving = [.. replicas.Where(r => r.State == "RUNNING").Select(r => r.Id)];
            string[] begun = [.. replicas.Where(r => r.State == "STARTING").Select(r => r.Id)];
            int kept = serving.Count(before.Contains);
            Assert.True(serving.Length >= atLeast && begun.Length <= 2, $"{kept} old and {serving.Length - kept} new ones serve, and {begun.Length} start.");
            if ((kept, serving.Length - kept, begun.Length) == (old, fresh, starting))
            {
                return begun;
            }

            await Task.Yield();
        }
    }
}

public sealed class PortDeployConformance() : DeployConformance(SiteForm.Port);

public sealed class EmbeddedDeployConformance() : DeployConformance(SiteForm.Embedded);
