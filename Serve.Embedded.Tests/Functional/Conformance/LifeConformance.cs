using System.Net;
using System.Text.Json;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>How replicas start, how they fare, and what becomes of them when their configuration changes.</summary>
public abstract class LifeConformance(SiteForm form) : ConformanceSuite(form)
{
    private const string Checked = "\"health_check_period_s\":0.1,\"health_check_timeout_s\":30.0";

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [ContractRow(23)]
    public async Task Start_ConstructorAlwaysFails_TheDeployFailsAndNothingRuns(int replicas)
    {
        await using ConformanceSite site = await StartAsync();

        string outcome = await site.DeployAsync(Failing(1000, $"\"num_replicas\":{replicas},\"max_constructor_retry_count\":2"));

        Assert.Equal("failed", outcome);
        Assert.Equal(("DEPLOY_FAILED", "REPLICA_STARTUP_FAILED"), await StatusOfAsync(site));
        Assert.DoesNotContain(await site.ReplicasAsync("Life"), r => r.State == "RUNNING");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await site.AskAsync("/say/x")).Status);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [ContractRow(24)]
    public async Task Start_TheFirstConstructorFails_EndsWithAllReplicas(int replicas)
    {
        await using ConformanceSite site = await StartAsync();

        string outcome = await site.DeployAsync(Failing(1, $"\"num_replicas\":{replicas}"));

        Assert.Equal("good", outcome);
        Assert.Equal(replicas, (await site.ReplicasAsync("Life")).Count(r => r.State == "RUNNING"));
        await AnswersAsync("x", site.AskAsync("/say/x"));
    }

    [Fact]
    [ContractRow(25)]
    public async Task Health_EverySecondCheckFails_IsNeverReplaced()
    {
        await using ConformanceSite site = await StartAsync(App("life", Of("Life", Checked)));
        IReadOnlyList<(string Id, string State)> before = await site.ReplicasAsync("Life");

        await site.ReleaseAsync("flaky");
        await site.HeardAsync("well 10");

        Assert.Equal(before, await site.ReplicasAsync("Life"));
        Assert.Equal(5, (await site.EventsAsync()).TakeWhile(e => e != "well 10").Count(e => e == $"sick {before[0].Id}"));
    }

    [Fact]
    [ContractRow(25)]
    public async Task Health_ThreeChecksInARowFail_IsReplacedTwiceOver()
    {
        await using ConformanceSite site = await StartAsync(App("life", Of("Life", Checked)));
        for (int i = 0; i < 2; i++)
        {
            string sick = (await site.ReplicasAsync("Life"))[0].Id;
            await site.ReleaseAsync($"sick {sick}");
            await RunAsync(site, 1, ids => !ids.Contains(sick));

            Assert.Equal(3, (await site.EventsAsync()).Count(e => e == $"sick {sick}"));
        }
    }

    [Fact]
    [ContractRow(26)]
    public async Task Health_OneOfTwoFails_OnlyThatOneIsReplacedAndAHundredCallsSucceed()
    {
        await using ConformanceSite site = await StartAsync(App("life", Of("Life", $"\"num_replicas\":2,{Checked}")));
        IReadOnlyList<(string Id, string State)> before = await site.ReplicasAsync("Life");

        await site.ReleaseAsync($"sick {before[0].Id}");
        await RunAsync(site, 2, ids => !ids.Contains(before[0].Id) && ids.Contains(before[1].Id));

        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(HttpStatusCode.OK, (await site.AskAsync("/say/x")).Status);
        }
    }

    [Fact]
    [ContractRow(26)]
    public async Task Health_EveryCheckFails_TheDeploymentIsUnhealthyAndStaysSo()
    {
        await using ConformanceSite site = await StartAsync(App("life", Of("Life", Checked)));
        await site.ReleaseAsync("sick all");
        while ((await StatusOfAsync(site)).Status != "UNHEALTHY")
        {
            await Task.Yield();
        }

        // The one that takes its place does not come up either.
        await RunAsync(site, 0, _ => true);

        Assert.Equal("UNHEALTHY", (await StatusOfAsync(site)).Status);
    }

    [Theory]
    [InlineData("\"max_ongoing_requests\":9")]
    [InlineData("\"max_queued_requests\":9")]
    [InlineData("\"graceful_shutdown_timeout_s\":9.0")]
    [InlineData("\"health_check_period_s\":9.0")]
    [InlineData("\"health_check_timeout_s\":9.0")]
    [InlineData("\"user_config\":{\"size\":9,\"wait_s\":0.0}")]
    [ContractRow(30)]
    public async Task Deploy_OtherOptionsOfTheSameCode_NoReplicaIsReplaced(string option)
    {
        static string Application(string keys) => App("batch", Of("Batch", keys));
        await using ConformanceSite site = await StartAsync(Application("\"num_replicas\":2,\"user_config\":{\"size\":1,\"wait_s\":0.0}"));
        IReadOnlyList<(string Id, string State)> before = await site.ReplicasAsync("Batch");

        string userConfig = option.Contains("user_config", StringComparison.Ordinal) ? "" : ",\"user_config\":{\"size\":1,\"wait_s\":0.0}";
        Assert.Equal("good", await site.DeployAsync(Application($"\"num_replicas\":2{userConfig},{option}")));

        Assert.Equal(before, await site.ReplicasAsync("Batch"));
    }

    [Fact]
    [ContractRow(31)]
    public async Task Deploy_OtherNumbersOfReplicas_TheOldestStay()
    {
        static string Life(int replicas) => App("life", Of("Life", $"\"num_replicas\":{replicas}"));
        await using ConformanceSite site = await StartAsync(Life(5));
        IReadOnlyList<(string Id, string State)> before = await site.ReplicasAsync("Life");

        foreach ((int replicas, string trigger) in new[] { (10, "UPSCALE_COMPLETED"), (20, "UPSCALE_COMPLETED"), (5, "DOWNSCALE_COMPLETED") })
        {
            Assert.Equal("good", await site.DeployAsync(Life(replicas)));

            IReadOnlyList<(string Id, string State)> now = await site.ReplicasAsync("Life");
            Assert.Equal((replicas, ("HEALTHY", trigger)), (now.Count, await StatusOfAsync(site)));
            Assert.Equal(before, now.Take(5));
        }
    }

    [Fact]
    [ContractRow(35)]
    public async Task Deploy_AnOverrideIsTakenOut_TheCodesOwnValueComesBackAndTheReplicaStays()
    {
        static string Life(string keys) => App("life", keys);
        await using ConformanceSite site = await StartAsync(Life("\"name\":\"Life\""));
        IReadOnlyList<(string Id, string State)> before = await site.ReplicasAsync("Life");
        int own = await LimitAsync(site);

        await site.DeployAsync(Life(Of("Life", $"\"max_ongoing_requests\":{own + 2}")));
        int overridden = await LimitAsync(site);
        await site.DeployAsync(Life("\"name\":\"Life\""));

        Assert.Equal((own + 2, own), (overridden, await LimitAsync(site)));
        Assert.Equal(before, await site.ReplicasAsync("Life"));
    }

    private static string Failing(int failures, string keys) => App("life", Of("Life", keys), more: $$"""
        "args":{"failures":{{failures}}}
        """);

    private static async Task<JsonElement> LifeAsync(ConformanceSite site) => (await site.StatusAsync()).GetProperty("deployments").GetProperty("Life");

    private static async Task<(string Status, string Trigger)> StatusOfAsync(ConformanceSite site)
    {
        JsonElement life = await LifeAsync(site);
        return (life.GetProperty("status").GetString()!, life.GetProperty("status_trigger").GetString()!);
    }

    private static async Task<int> LimitAsync(ConformanceSite site) => (await LifeAsync(site)).GetProperty("deployment_config").GetProperty("max_ongoing_requests").GetInt32();

    /// <summary>Until so many replicas run, and they are those.</summary>
    private static async Task RunAsync(ConformanceSite site, int count, Func<IReadOnlyList<string>, bool> areThose)
    {
        while (true)
        {
            string[] running = [.. (await site.ReplicasAsync("Life")).Where(r => r.State == "RUNNING").Select(r => r.Id)];
            if (running.Length == count && areThose(running))
            {
                return;
            }

            await Task.Yield();
        }
    }
}

public sealed class PortLifeConformance() : LifeConformance(SiteForm.Port);

public sealed class EmbeddedLifeConformance() : LifeConformance(SiteForm.Embedded);
