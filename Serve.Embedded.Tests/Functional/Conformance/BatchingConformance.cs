using System.Net;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>Requests that are gathered: the batches of Ray Serve's <c>@serve.batch</c>.</summary>
public abstract class BatchingConformance(SiteForm form) : ConformanceSuite(form)
{
    private const double ADay = 86_400;

    [Fact]
    [ContractRow(41)]
    public async Task Batch_NineOfTenWait_TheTenthEndsTheWaitOfAll()
    {
        await using ConformanceSite site = await StartAsync(Batches(10, ADay));
        Task<Answer>[] nine = [.. Enumerable.Range(0, 9).Select(i => site.AskAsync($"/{i}"))];
        await site.OngoingAsync(9, "Batch");
        Assert.Empty(await site.EventsAsync());

        Answer tenth = await site.AskAsync("/9");

        Assert.Equal("9 of 10", tenth.Body);
        Assert.Equal(Enumerable.Range(0, 9).Select(i => $"{i} of 10"), (await Task.WhenAll(nine)).Select(a => a.Body));
    }

    [Fact]
    [ContractRow(41)]
    public async Task Batch_TheWaitIsOver_NineGoWithoutTheTenth()
    {
        await using ConformanceSite site = await StartAsync(Batches(10, 0.2));

        Answer[] nine = await Task.WhenAll(Enumerable.Range(0, 9).Select(i => site.AskAsync($"/{i}")));

        Assert.All(nine.Index(), a => Assert.StartsWith($"{a.Index} of ", a.Item.Body, StringComparison.Ordinal));
    }

    [Fact]
    [ContractRow(41)]
    public async Task Batch_OfOne_WaitsForNobody()
    {
        await using ConformanceSite site = await StartAsync(Batches(1, ADay));

        await AnswersAsync("a of 1", site.AskAsync("/a"));
    }

    [Fact]
    [ContractRow(41)]
    public async Task Batch_SizesAreChangedLive_HoldForWhoWaits()
    {
        await using ConformanceSite site = await StartAsync(Batches(10, ADay));
        Task<Answer>[] two = [site.AskAsync("/a"), site.AskAsync("/b")];
        await site.OngoingAsync(2, "Batch");

        Assert.Equal("good", await site.DeployAsync(Batches(2, ADay)));

        await AnswersAsync("a of 2", two[0]);
        await AnswersAsync("b of 2", two[1]);
    }

    [Fact]
    [ContractRow(42)]
    public async Task Batch_OneWhoWaitsLeaves_TheOthersGoWithoutIt()
    {
        await using ConformanceSite site = await StartAsync(Batches(3, ADay));
        Task<Answer> first = site.AskAsync("/a");
        await site.OngoingAsync(1, "Batch");
        using CancellationTokenSource client = new();
        Task<Answer> leaves = site.AskAsync("/b", client);
        await site.OngoingAsync(2, "Batch");

        await client.CancelAsync();
        await LeftAsync(leaves);
        await site.OngoingAsync(1, "Batch");
        Task<Answer>[] two = [site.AskAsync("/c"), site.AskAsync("/d")];

        await AnswersAsync("a of 3", first);
        await AnswersAsync("c of 3", two[0]);
        await AnswersAsync("d of 3", two[1]);
    }

    [Theory]
    [InlineData("throw")]
    [InlineData("lose")]
    [ContractRow(42)]
    public async Task Batch_Fails_EveryCallerIsToldAndTheNextIsNotHarmed(string how)
    {
        await using ConformanceSite site = await StartAsync(Batches(2, ADay));

        Answer[] failed = await Task.WhenAll(site.AskAsync($"/{how}"), site.AskAsync("/a"));
        Answer[] next = await Task.WhenAll(site.AskAsync("/b"), site.AskAsync("/c"));

        Assert.All(failed, a => Assert.Equal(HttpStatusCode.InternalServerError, a.Status));
        Assert.Equal(["b of 2", "c of 2"], next.Select(a => a.Body));
    }

    [Fact]
    [ContractRow(43)]
    public async Task Batch_OfSeveralModels_HoldsOneAndKnowsWhich()
    {
        await using ConformanceSite site = await StartAsync(Batches(2, ADay));
        Task<Answer>[] wait = [AskAsync(site, "/a", "m1"), AskAsync(site, "/b", "m2"), site.AskAsync("/c")];
        await site.OngoingAsync(3, "Batch");
        Assert.Empty(await site.EventsAsync());

        await AnswersAsync("d of 2 for m2", AskAsync(site, "/d", "m2"));
        await AnswersAsync("e of 2 for m1", AskAsync(site, "/e", "m1"));
        await AnswersAsync("f of 2", site.AskAsync("/f"));

        Assert.Equal(["a of 2 for m1", "b of 2 for m2", "c of 2"], (await Task.WhenAll(wait)).Select(a => a.Body));
    }

    [Fact]
    [ContractRow(41)]
    public async Task Batch_OverAHandle_GathersTheCallsOfOneRequest()
    {
        await using ConformanceSite site = await StartAsync(App("fan"));

        await AnswersAsync("0 of 5,1 of 5,2 of 5,3 of 5,4 of 5", site.AskAsync("/5"));
    }

    private static Task<Answer> AskAsync(ConformanceSite site, string path, string model) => site.AskAsync(path, headers: ("serve_multiplexed_model_id", model));

    private static string Batches(int size, double wait) =>
        App("batch", Of("Batch", string.Create(System.Globalization.CultureInfo.InvariantCulture, $$"""
        "user_config":{"size":{{size}},"wait_s":{{wait:0.0##}}}
        """)));
}

public sealed class PortBatchingConformance() : BatchingConformance(SiteForm.Port);

public sealed class EmbeddedBatchingConformance() : BatchingConformance(SiteForm.Embedded);
