using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>Who among the replicas gets which request, and when.</summary>
public abstract class ReplicasConformance(SiteForm form) : ConformanceSuite(form)
{
    [Fact]
    [ContractRow(13)]
    public async Task Get_NoReplicaYet_WaitsForTheFirst()
    {
        await using ConformanceSite site = await StartAsync();
        await site.SendAsync(App("late"));
        await site.HeardAsync("starting");
        Task<Answer> waits = await QueueAsync(site, "/say/patient", deployment: "Late");

        await site.ReleaseAsync("start");

        await AnswersAsync("patient", waits);
    }

    [Fact]
    [ContractRow(14)]
    public async Task Get_OneReplicaIsBusier_TheOtherIsTakenTenTimesOfTen()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", "\"num_replicas\":2,\"max_ongoing_requests\":5")));
        Task<Answer> holds = await HoldAsync(site, "first");
        HashSet<string?> taken = [];
        for (int i = 0; i < 10; i++)
        {
            taken.Add((await site.AskAsync($"/say/{i}")).Header("X-Replica"));
        }

        await site.ReleaseAsync("first");

        Assert.NotEqual((await holds).Header("X-Replica"), Assert.Single(taken));
    }

    [Fact]
    [ContractRow(15)]
    public async Task Get_AllAreFull_GoesToTheOneThatIsFreedOrToTheOneThatJoins()
    {
        static string Probe(int replicas) => App("probe", Of("Probe", $"\"num_replicas\":{replicas},\"max_ongoing_requests\":1"));
        await using ConformanceSite site = await StartAsync(Probe(1));
        Task<Answer> first = await HoldAsync(site, "first");
        Task<Answer> second = await QueueAsync(site, "/hold/second");
        Assert.DoesNotContain("begun second", await site.EventsAsync());

        await site.ReleaseAsync("first");
        await site.HeardAsync("begun second");
        Task<Answer> third = await QueueAsync(site, "/say/third");
        await site.DeployAsync(Probe(2));
        Answer joined = await third;
        await site.ReleaseAsync("second");

        Assert.Equal((await first).Header("X-Replica"), (await second).Header("X-Replica"));
        Assert.NotEqual((await first).Header("X-Replica"), joined.Header("X-Replica"));
    }

    [Fact]
    [ContractRow(16)]
    public async Task Queue_OneIsFreedAtATime_RunsInTheOrderOfArrival()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", "\"max_ongoing_requests\":1")));
        Task<Answer> first = await HoldAsync(site, "0");
        List<Task<Answer>> wait = [first];
        for (int i = 1; i <= 10; i++)
        {
            wait.Add(await QueueAsync(site, $"/hold/{i}", i));
        }

        for (int i = 0; i < 10; i++)
        {
            await site.ReleaseAsync($"{i}");
            await site.HeardAsync($"begun {i + 1}");
        }

        await site.ReleaseAsync("10");
        await Task.WhenAll(wait);
        Assert.Equal(Enumerable.Range(0, 11).Select(i => $"begun {i}"), await site.EventsAsync());
    }

    [Fact]
    [ContractRow(17, 21)]
    public async Task Queue_ClientLeaves_FreesItsPlaceAndNeverRuns()
    {
        await using ConformanceSite site = await StartAsync(App("probe", Of("Probe", OneAndOne)));
        Task<Answer> first = await HoldAsync(site, "first");
        using CancellationTokenSource client = new();
        Task<Answer> leaves = await QueueAsync(site, "/say/leaver", client: client);

        await client.CancelAsync();
        await LeftAsync(leaves);
        await site.QueuedAsync(0);
        Task<Answer> next = await QueueAsync(site, "/say/next");
        await site.ReleaseAsync("first");

        await AnswersAsync("first", first);
        await AnswersAsync("next", next);
        await site.OngoingAsync(0);
        Assert.DoesNotContain("begun leaver", await site.EventsAsync());
    }

    [Fact]
    [ContractRow(50)]
    public async Task Broadcast_ThreeReplicas_EachIsCalledOnce()
    {
        await using ConformanceSite site = await StartAsync(App("broadcasts", Of("Child", "\"num_replicas\":3")));

        string[] answers = (await site.AskAsync("/hello")).Body.Split('\n');

        Assert.Equal(3, answers.Distinct().Count());
        Assert.All(answers, a => Assert.StartsWith("hello ", a, StringComparison.Ordinal));
    }
}

public sealed class PortReplicasConformance() : ReplicasConformance(SiteForm.Port);

public sealed class EmbeddedReplicasConformance() : ReplicasConformance(SiteForm.Embedded);
