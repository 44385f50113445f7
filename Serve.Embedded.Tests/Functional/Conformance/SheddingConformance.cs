using System.Net;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>Queues, their limits, and what is said to those whom they refuse.</summary>
public abstract class SheddingConformance(SiteForm form) : ConformanceSuite(form)
{
    [Fact]
    [ContractRow(1)]
    public async Task HandleCall_ChildsQueueIsFull_ThrowsBackPressureTenTimesOfTen()
    {
        await using ConformanceSite site = await StartAsync(App("catches", Of("Child", OneAndOne)));
        Task<Answer> runs = await HoldAsync(site, "first");
        Task<Answer> waits = await QueueAsync(site, "/say/second", deployment: "Child");

        for (int i = 0; i < 10; i++)
        {
            Answer refused = await site.AskAsync("/say/refused");
            Assert.StartsWith("caught 503: Request dropped due to backpressure (num_queued_requests=1, max_queued_requests=1).", refused.Body, StringComparison.Ordinal);
        }

        await site.ReleaseAsync("first");
        await AnswersAsync("first", runs);
        await AnswersAsync("second", waits);
        Assert.DoesNotContain("begun refused", await site.EventsAsync());
    }

    [Fact]
    [ContractRow(2)]
    public async Task Get_QueueIsFull_Answers503TenTimesOfTen()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", OneAndOne)));
        Task<Answer> runs = await HoldAsync(site, "first");
        Task<Answer> waits = await QueueAsync(site, "/say/second");

        for (int i = 0; i < 10; i++)
        {
            Answer refused = await site.AskAsync("/say/refused");
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "text/plain"), (refused.Status, refused.ContentType?.Split(';')[0]));
            Assert.StartsWith("Request dropped due to backpressure (num_queued_requests=1, max_queued_requests=1).", refused.Body, StringComparison.Ordinal);
            Assert.Contains("Deployment 'Probe' of application 'app'", refused.Body, StringComparison.Ordinal);
            Assert.InRange(int.Parse(refused.Header("Retry-After")!, null), 1, 60);
        }

        await site.ReleaseAsync("first");
        await AnswersAsync("first", runs);
        await AnswersAsync("second", waits);
        Assert.DoesNotContain("begun refused", await site.EventsAsync());
    }

    [Fact]
    [ContractRow(3)]
    public async Task Get_BackpressureIsConfigured_AnswersItsStatusAndRetryAfter()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", $$"""{{OneAndOne}},"backpressure_config":{"status_code":429,"retry_after_s":7}""")));
        Task<Answer> runs = await HoldAsync(site, "first");
        Task<Answer> waits = await QueueAsync(site, "/say/second");

        Answer refused = await site.AskAsync("/say/refused");

        Assert.Equal((HttpStatusCode.TooManyRequests, "7"), (refused.Status, refused.Header("Retry-After")));
        await site.ReleaseAsync("first");
        await AnswersAsync("first", runs);
        await AnswersAsync("second", waits);
    }

    [Theory]
    [InlineData("awaits")]
    [InlineData("http")]
    [InlineData("blocks")]
    [ContractRow(4, 5)]
    public async Task Get_ChildRefuses_AnswersTheChildsStatusAndRetryAfter(string parent)
    {
        await using ConformanceSite site = await StartAsync(App(parent, Of("Child", $$"""{{OneAndOne}},"backpressure_config":{"status_code":429,"retry_after_s":9}""")));
        Task<Answer> runs = await HoldAsync(site, "first");
        Task<Answer> waits = await QueueAsync(site, "/say/second", deployment: "Child");

        Answer refused = await site.AskAsync("/say/refused");

        Assert.Equal((HttpStatusCode.TooManyRequests, "9"), (refused.Status, refused.Header("Retry-After")));
        Assert.StartsWith("Request dropped due to backpressure", refused.Body, StringComparison.Ordinal);
        Assert.Contains("Deployment 'Child'", refused.Body, StringComparison.Ordinal);
        await site.ReleaseAsync("first");
        await AnswersAsync("first", runs);
        await AnswersAsync("second", waits);
    }

    [Fact]
    [ContractRow(7)]
    public async Task MaxQueued_NoLimit_AHundredWaitAndAllRun()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", "\"max_ongoing_requests\":1,\"max_queued_requests\":-1")));
        Task<Answer> runs = await HoldAsync(site, "first");

        Task<Answer>[] wait = [.. Enumerable.Range(0, 100).Select(i => site.AskAsync($"/say/{i}"))];
        await site.QueuedAsync(100);
        await site.ReleaseAsync("first");

        await AnswersAsync("first", runs);
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"{i}"), (await Task.WhenAll(wait)).Select(a => a.Body));
    }

    [Fact]
    [ContractRow(8)]
    public async Task MaxQueued_OneIsRouted_ExactlyOneMoreIsLetIn()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", "\"max_ongoing_requests\":1,\"max_queued_requests\":5")));
        Task<Answer> runs = await HoldAsync(site, "first");
        List<Task<Answer>> wait = [];
        for (int i = 1; i <= 5; i++)
        {
            wait.Add(await QueueAsync(site, $"/hold/{i}", i));
        }

        await TenAreRefusedAsync(site);
        await site.ReleaseAsync("first");
        await site.HeardAsync("begun 1");
        wait.Add(await QueueAsync(site, "/say/6", 5));
        await TenAreRefusedAsync(site);
        for (int i = 1; i <= 5; i++)
        {
            await site.ReleaseAsync($"{i}");
        }

        await AnswersAsync("first", runs);
        Assert.Equal(["1", "2", "3", "4", "5", "6"], (await Task.WhenAll(wait)).Select(a => a.Body));
    }

    [Fact]
    [ContractRow(9)]
    public async Task MaxQueued_RaisedAndLowered_EvictsNobodyAndHoldsAtOnce()
    {
        static string Probe(int queued) => App("probe", Of("Probe", $"\"max_ongoing_requests\":1,\"max_queued_requests\":{queued}"));
        await using ConformanceSite site = await StartAsync(Probe(5));
        Task<Answer> runs = await HoldAsync(site, "first");
        List<Task<Answer>> wait = [];
        for (int i = 1; i <= 5; i++)
        {
            wait.Add(await QueueAsync(site, $"/hold/{i}", i));
        }

        await TenAreRefusedAsync(site);
        await site.DeployAsync(Probe(10));
        for (int i = 6; i <= 10; i++)
        {
            wait.Add(await QueueAsync(site, $"/hold/{i}", i));
        }

        await TenAreRefusedAsync(site);
        await site.DeployAsync(Probe(5));
        await site.QueuedAsync(10);
        await TenAreRefusedAsync(site);
        await site.ReleaseAsync("first");
        for (int i = 1; i <= 4; i++)
        {
            await site.ReleaseAsync($"{i}");
        }

        await site.HeardAsync("begun 5");
        await site.QueuedAsync(5);
        await TenAreRefusedAsync(site);
        for (int i = 5; i <= 10; i++)
        {
            await site.ReleaseAsync($"{i}");
        }

        await AnswersAsync("first", runs);
        Assert.Equal(Enumerable.Range(1, 10).Select(i => $"{i}"), (await Task.WhenAll(wait)).Select(a => a.Body));
    }

    private static async Task TenAreRefusedAsync(ConformanceSite site)
    {
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await site.AskAsync("/say/refused")).Status);
        }
    }
}

public sealed class PortSheddingConformance() : SheddingConformance(SiteForm.Port);

public sealed class EmbeddedSheddingConformance() : SheddingConformance(SiteForm.Embedded);
