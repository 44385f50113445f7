using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>Several models in one replica: Ray Serve's <c>@serve.multiplexed</c>, three at a time.</summary>
public abstract class ModelsConformance(SiteForm form) : ConformanceSuite(form)
{
    [Fact]
    [ContractRow(43)]
    public async Task Models_OneTooMany_TheLeastRecentlyUsedIsUnloadedFirst()
    {
        await using ConformanceSite site = await StartAsync(App("models"));
        foreach (string id in (string[])["m1", "m2", "m3", "m1", "m4"])
        {
            Assert.Equal(id, (await AskAsync(site, "/say/x", id)).Body);
        }

        Assert.Equal(["loading m1", "loading m2", "loading m3", "unloaded m2", "loading m4"], (await site.EventsAsync()).Where(e => e != "begun x"));
    }

    [Fact]
    [ContractRow(43)]
    public async Task Models_TwoLoadAtOnce_DoNotWaitForEachOther()
    {
        await using ConformanceSite site = await StartAsync(App("models"));
        Task<Answer> one = AskAsync(site, "/say/x", "slow1");
        Task<Answer> sharing = AskAsync(site, "/say/x", "slow1");
        Task<Answer> two = AskAsync(site, "/say/x", "slow2");
        await site.HeardAsync("loading slow1");
        await site.HeardAsync("loading slow2");
        await site.OngoingAsync(3, "Models");

        await site.ReleaseAsync("slow2");
        await AnswersAsync("slow2", two);
        await site.ReleaseAsync("slow1");

        await AnswersAsync("slow1", one);
        await AnswersAsync("slow1", sharing);
        Assert.Single(await site.EventsAsync(), "loading slow1");
    }

    [Fact]
    [ContractRow(43)]
    public async Task Models_TenRequestsWithOneId_GoToOneReplica()
    {
        await using ConformanceSite site = await StartAsync(App("models", Of("Models", "\"num_replicas\":3")));
        HashSet<string?> replicas = [];
        for (int i = 0; i < 10; i++)
        {
            replicas.Add((await AskAsync(site, "/say/x", "m")).Header("X-Replica"));
        }

        Assert.NotNull(Assert.Single(replicas));
        Assert.Single(await site.EventsAsync(), "loading m");
    }

    [Fact]
    [ContractRow(43)]
    public async Task Models_ItsReplicaIsFull_AnotherLoadsItToo()
    {
        await using ConformanceSite site = await StartAsync(App("models", Of("Models", "\"num_replicas\":2,\"max_ongoing_requests\":1")));
        Task<Answer> holds = AskAsync(site, "/hold/x", "m");
        await site.HeardAsync("begun x");

        Answer other = await AskAsync(site, "/say/y", "m");
        await site.ReleaseAsync("x");

        Assert.NotEqual((await holds).Header("X-Replica"), other.Header("X-Replica"));
        Assert.Equal(2, (await site.EventsAsync()).Count(e => e == "loading m"));
    }

    /// <summary>Ray Serve: <c>handle.options(multiplexed_model_id=...)</c> says it, and nothing else does.</summary>
    [Theory]
    [InlineData("probe", "x for m")]
    [InlineData("awaits", "x for none")]
    [InlineData("blocks", "x for none")]
    [ContractRow(43)]
    public async Task Models_OfARequest_AreNotThoseOfItsChildsCalls(string application, string expected)
    {
        await using ConformanceSite site = await StartAsync(App(application));

        await AnswersAsync(expected, AskAsync(site, "/model/x", "m"));
    }

    private static Task<Answer> AskAsync(ConformanceSite site, string path, string model) => site.AskAsync(path, headers: ("serve_multiplexed_model_id", model));
}

public sealed class PortModelsConformance() : ModelsConformance(SiteForm.Port);

public sealed class EmbeddedModelsConformance() : ModelsConformance(SiteForm.Embedded);
