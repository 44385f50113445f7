using System.Net;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>Requests that end before their answer: by their deadline, or because their client leaves.</summary>
public abstract class TimeConformance(SiteForm form) : ConformanceSuite(form)
{
    /// <summary>Long enough for a request to begin on a machine that has other things to do.</summary>
    private const string OneSecond = "\"request_timeout_s\":1.0";

    private static readonly (string, string) Soon = ("x-request-timeout-seconds", "0.3");

    [Theory]
    [InlineData("awaits")]
    [InlineData("http")]
    [InlineData("blocks")]
    [ContractRow(18, 20)]
    public async Task Deadline_InExecution_Answers408AndEndsTheChildsCall(string parent)
    {
        await using ConformanceSite site = await StartAsync(App(parent, more: OneSecond));

        Answer answer = await site.AskAsync("/hold/x");

        Assert.Equal(HttpStatusCode.RequestTimeout, answer.Status);
        Assert.Equal($"Request {answer.Header("X-Request-ID")} timed out after 1.0s.", answer.Body);
        await site.HeardAsync("cancelled x");
        await site.OngoingAsync(0, "Parent");
        await site.OngoingAsync(0, "Child");
    }

    /// <summary>A call of a child that has to wait is called off too: it never reaches the replica.</summary>
    [Theory]
    [InlineData("probe", "Probe")]
    [InlineData("awaits", "Child")]
    [ContractRow(18)]
    public async Task Deadline_InTheQueue_Answers408AndNeverReachesTheReplica(string application, string deployment)
    {
        await using ConformanceSite site = await StartAsync(App(application, Of(deployment, "\"max_ongoing_requests\":1")));
        Task<Answer> first = await HoldAsync(site, "first");

        Answer late = await site.AskAsync("/say/late", headers: Soon);
        await site.QueuedAsync(0, deployment);
        await site.ReleaseAsync("first");

        Assert.Equal(HttpStatusCode.RequestTimeout, late.Status);
        Assert.EndsWith(" timed out after 0.3s.", late.Body, StringComparison.Ordinal);
        await AnswersAsync("first", first);
        await AnswersAsync("next", site.AskAsync("/say/next"));
        Assert.Equal(["begun first", "begun next"], await site.EventsAsync());
    }

    [Fact]
    [ContractRow(19)]
    public async Task Deadline_AfterTheFirstChunk_BreaksTheBodyOff()
    {
        await using ConformanceSite site = await StartAsync(App("stream", more: OneSecond));

        using HttpResponseMessage response = await site.Client.GetAsync("/hold/x", HttpCompletionOption.ResponseHeadersRead, Deadline);
        using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("one", await body.ReadLineAsync(Deadline));
        await Assert.ThrowsAnyAsync<IOException>(async () => await body.ReadToEndAsync(Deadline));
        await site.HeardAsync("cancelled x");
    }

    [Theory]
    [InlineData("awaits")]
    [InlineData("http")]
    [InlineData("blocks")]
    [ContractRow(21, 22)]
    public async Task ClientLeaves_InExecution_EndsItsChildsCallAndNoOther(string parent)
    {
        await using ConformanceSite site = await StartAsync(App(parent));
        Task<Answer> stays = await HoldAsync(site, "stays");
        using CancellationTokenSource client = new();
        Task<Answer> leaves = await HoldAsync(site, "leaves", client: client);

        await client.CancelAsync();
        await LeftAsync(leaves);
        await site.HeardAsync("cancelled leaves");
        await site.ReleaseAsync("stays");

        await AnswersAsync("stays", stays);
        await site.OngoingAsync(0, "Child");
        Assert.DoesNotContain("cancelled stays", await site.EventsAsync());
    }

    [Fact]
    [ContractRow(21)]
    public async Task ClientLeaves_WhileItsChildsCallWaits_ItNeverReachesTheReplica()
    {
        await using ConformanceSite site = await StartAsync(App("awaits", Of("Child", OneAndOne)));
        Task<Answer> first = await HoldAsync(site, "first");
        using CancellationTokenSource client = new();
        Task<Answer> leaves = await QueueAsync(site, "/say/leaver", deployment: "Child", client: client);

        await client.CancelAsync();
        await LeftAsync(leaves);
        await site.QueuedAsync(0, "Child");
        await site.ReleaseAsync("first");

        await AnswersAsync("first", first);
        await AnswersAsync("next", site.AskAsync("/say/next"));
        Assert.Equal(["begun first", "begun next"], await site.EventsAsync());
    }

    [Fact]
    [ContractRow(22)]
    public async Task ClientLeaves_WhatTheConstructorBegan_GoesOn()
    {
        await using ConformanceSite site = await StartAsync(App("early"));
        await site.HeardAsync("begun early");
        using CancellationTokenSource client = new();
        Task<Answer> leaves = await HoldAsync(site, "leaves", client: client);

        await client.CancelAsync();
        await LeftAsync(leaves);
        await site.HeardAsync("cancelled leaves");
        Task<Answer> early = site.AskAsync("/early");
        await site.ReleaseAsync("early");

        await AnswersAsync("early", early);
    }
}

public sealed class PortTimeConformance() : TimeConformance(SiteForm.Port);

public sealed class EmbeddedTimeConformance() : TimeConformance(SiteForm.Embedded);
