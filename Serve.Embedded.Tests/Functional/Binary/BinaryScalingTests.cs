using System.Net;
using System.Text;

namespace Serve.Embedded.Tests.Functional.Binary;

public sealed class BinaryScalingTests
{
    private static readonly string Autoscaled = """
        [[applications]]
        name = "slow"
        import_path = "builtin:slow"

          [[applications.deployments]]
          name = "SlowDeployment"
          max_ongoing_requests = 2
          max_queued_requests = 1000
          user_config = { message = "Hello!", delay_s = 0.05 }
          autoscaling_config = { min_replicas = MIN, max_replicas = 3, target_ongoing_requests = 1.0, look_back_period_s = 0.3, upscale_delay_s = 0.2, downscale_delay_s = 0.5 }

        """;

    /// <summary>Eight callers want more than the three replicas that there may be; when they leave, it goes back to the fewest.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Autoscaling_LoadComesAndGoes_ReplicasFollowAndNoRequestFails(int fewest)
    {
        using OperatorSite site = new(Autoscaled.Replace("MIN", fewest.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal));
        await using ServeProcess server = await site.StartAsync();
        await using StatusWatch status = new(site, server);
        await status.LineAsync($" {fewest}/{fewest} ");

        // From zero, this one waits in the queue and wakes a replica up.
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        using CancellationTokenSource enough = new();
        Task[] load = [.. Enumerable.Range(0, 8).Select(_ => LoadAsync(server, enough.Token))];
        await status.LineAsync(" 3/3 ");
        await enough.CancelAsync();
        await Task.WhenAll(load);
        await status.LineAsync($" {fewest}/{fewest} ");

        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    /// <summary>Nobody waits here: without those who are refused the load would be what one replica can bear.</summary>
    [Fact]
    public async Task Autoscaling_NoQueue_RefusedDemandCountsAsLoad()
    {
        using OperatorSite site = new(Autoscaled
            .Replace("MIN", "1", StringComparison.Ordinal)
            .Replace("max_ongoing_requests = 2", "max_ongoing_requests = 1", StringComparison.Ordinal)
            .Replace("max_queued_requests = 1000", "max_queued_requests = 0", StringComparison.Ordinal));
        await using ServeProcess server = await site.StartAsync();
        await using StatusWatch status = new(site, server);
        await status.LineAsync(" 1/1 ");

        using CancellationTokenSource enough = new();
        Task<HashSet<HttpStatusCode>>[] load = [.. Enumerable.Range(0, 8).Select(_ => OverloadAsync(server, enough.Token))];
        await status.LineAsync(" 3/3 ");
        await enough.CancelAsync();

        Assert.Equal([HttpStatusCode.OK, HttpStatusCode.ServiceUnavailable], (await Task.WhenAll(load)).SelectMany(codes => codes).Distinct().Order());
    }

    /// <summary>Eight callers want eight replicas of one CPU each, <c>"auto"</c> would go to a hundred, and the box has two.</summary>
    [Fact]
    public async Task Autoscaling_Auto_GoesToWhatTheBoxHoldsAndNoFurther()
    {
        using OperatorSite site = new("""
            [box]
            cpus = 2.0

            [[applications]]
            name = "slow"
            import_path = "builtin:slow"

              [[applications.deployments]]
              name = "SlowDeployment"
              num_replicas = "auto"
              num_cpus = 1.0
              max_queued_requests = 1000
              user_config = { message = "Hello!", delay_s = 0.05 }
              autoscaling_config = { target_ongoing_requests = 1.0, look_back_period_s = 0.3, upscale_delay_s = 0.0 }

            """);
        await using ServeProcess server = await site.StartAsync();
        await using StatusWatch status = new(site, server);
        await status.LineAsync(" 1/1 ");

        using CancellationTokenSource enough = new();
        Task[] load = [.. Enumerable.Range(0, 8).Select(_ => LoadAsync(server, enough.Token))];
        string top = await status.LineAsync(" 2/2 ");
        for (int i = 0; i < 20; i++)
        {
            await server.Client.GetStringAsync("/", server.Deadline);
        }

        Finished after = await site.RunAsync(server, "status");
        await enough.CancelAsync();
        await Task.WhenAll(load);

        Assert.All([top, after.Out], shown => Assert.DoesNotContain("Held back", shown, StringComparison.Ordinal));
        Assert.Contains(" 2/2 ", after.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScaleRoute_FixedNumber_ScalesAndIsAGeneration()
    {
        using OperatorSite site = new(Toml.Slow());
        await using ServeProcess server = await site.StartAsync();
        await using StatusWatch status = new(site, server);
        await status.LineAsync(" 1/1 ");

        (HttpStatusCode code, _) = await ScaleAsync(server, "slow/deployments/SlowDeployment", "{\"target_num_replicas\": 3}");
        await status.LineAsync(" 3/3 ");
        Finished history = await site.RunAsync(server, "history");
        (HttpStatusCode zero, string zeroSaid) = await ScaleAsync(server, "slow/deployments/SlowDeployment", "{\"target_num_replicas\": 0}");
        (HttpStatusCode unknown, string unknownSaid) = await ScaleAsync(server, "slow/deployments/Nobody", "{\"target_num_replicas\": 2}");
        (HttpStatusCode bad, _) = await ScaleAsync(server, "slow/deployments/SlowDeployment", "{\"target_num_replicas\": \"two\"}");

        Assert.Equal(HttpStatusCode.OK, code);
        Assert.Equal(3, history.Out.TrimEnd().Split('\n').Length);
        Assert.Contains("target_num_replicas must be at least 1", zeroSaid, StringComparison.Ordinal);
        Assert.Contains("There is no deployment ", unknownSaid, StringComparison.Ordinal);
        Assert.All([zero, unknown, bad], c => Assert.InRange((int)c, 400, 499));
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
    }

    [Fact]
    public async Task ScaleRoute_AutoscaledDeployment_IsRefused()
    {
        using OperatorSite site = new(Autoscaled.Replace("MIN", "1", StringComparison.Ordinal));
        await using ServeProcess server = await site.StartAsync();

        (HttpStatusCode code, string said) = await ScaleAsync(server, "slow/deployments/SlowDeployment", "{\"target_num_replicas\": 2}");

        Assert.Equal(HttpStatusCode.PreconditionFailed, code);
        Assert.Contains("scales with its load", said, StringComparison.Ordinal);
    }

    /// <summary>A hundred reloads, every second one by SIGHUP and the others by deploy, each of which toggles the next key.</summary>
    [Fact]
    public async Task Reload_HundredTimesUnderLoad_FailsNoRequest()
    {
        using OperatorSite site = new(Toggled(0));
        await using ServeProcess server = await site.StartAsync();
        using CancellationTokenSource enough = new();
        Task<int>[] load = [.. Enumerable.Range(0, 4).Select(_ => LoadAsync(server, enough.Token))];

        for (int i = 1; i <= 100; i++)
        {
            if (i % 2 == 0)
            {
                Assert.Contains("Reloaded ", (await server.ReloadAsync(Toggled(i)))[^1], StringComparison.Ordinal);
            }
            else
            {
                Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", Toggled(i)), "--wait");
                Assert.Equal((0, string.Empty), (deploy.ExitCode, deploy.Error));
            }
        }

        await enough.CancelAsync();
        Assert.All(await Task.WhenAll(load), answered => Assert.True(answered > 0));
        Assert.DoesNotContain(server.Lines, l => l.StartsWith("ERROR ", StringComparison.Ordinal));
    }

    /// <summary>The first <paramref name="step"/> toggles of the keys in turn.</summary>
    private static string Toggled(int step)
    {
        const int Keys = 10;
        bool On(int key) => ((step / Keys) + (step % Keys > key ? 1 : 0)) % 2 == 1;
        return Toml.Slow(
            replicas: On(0) ? 3 : 1,
            ongoing: On(1) ? 4 : 2,
            queued: On(2) ? 500 : 1000,
            message: On(3) ? "Bye!" : "Hello!",
            http: $"request_timeout_s = {(On(4) ? "20.0" : "30.0")}\nkeep_alive_timeout_s = {(On(5) ? "60.0" : "90.0")}",
            more: (On(6) ? "max_queue_wait_s = 30.0\n" : "") + (On(7) ? "health_check_period_s = 1.0\n" : "") + (On(8) ? "rolling_update = \"replace\"\n" : ""))
            + (On(9) ? Toml.EchoApplication() : "");
    }

    private static async Task<int> LoadAsync(ServeProcess server, CancellationToken enough)
    {
        using HttpClient client = server.NewClient();
        int answered = 0;
        while (!enough.IsCancellationRequested)
        {
            using HttpResponseMessage response = await client.GetAsync("/", server.Deadline);
            string body = await response.Content.ReadAsStringAsync(server.Deadline);
            Assert.True(response.StatusCode == HttpStatusCode.OK && body is "Hello!" or "Bye!", $"{response.StatusCode} {body}");
            answered++;
        }

        return answered;
    }

    private static async Task<HashSet<HttpStatusCode>> OverloadAsync(ServeProcess server, CancellationToken enough)
    {
        using HttpClient client = server.NewClient();
        HashSet<HttpStatusCode> codes = [];
        while (!enough.IsCancellationRequested)
        {
            using HttpResponseMessage response = await client.GetAsync("/", server.Deadline);
            codes.Add(response.StatusCode);
        }

        return codes;
    }

    private static async Task<(HttpStatusCode Code, string Said)> ScaleAsync(ServeProcess server, string deployment, string body)
    {
        using StringContent content = new(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await server.Client.PostAsync(new Uri(server.AdminAddress, $"/api/v1/applications/{deployment}/scale"), content, server.Deadline);
        return (response.StatusCode, await response.Content.ReadAsStringAsync(server.Deadline));
    }
}
