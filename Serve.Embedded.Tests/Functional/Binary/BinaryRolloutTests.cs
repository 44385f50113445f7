using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Rollouts of the published executable under load: whatever the new version is worth, nobody is refused.</summary>
public sealed class BinaryRolloutTests
{
    [Theory]
    [InlineData("start_first", 1)]
    [InlineData("start_first", 4)]
    [InlineData("replace", 4)]
    public async Task Deploy_CodeThatDoesNotStart_TheOldServesOnAtFullStrengthAndTheStatusSaysWhy(string rolling, int replicas)
    {
        string settings = $"num_replicas = {replicas}\nrolling_update = \"{rolling}\"\nmax_constructor_retry_count = 2";
        using OperatorSite site = new(Faulty("version = \"v1\"", settings));
        await using ServeProcess server = await site.StartAsync();
        await using Load load = new(server);

        Finished deploy = await site.RunAsync(server, "deploy", site.Write("bad.toml", Faulty("version = \"v2\", fail_start = true", settings)), "--wait");
        Finished status = await site.RunAsync(server, "status");
        ConcurrentDictionary<string, int> answers = await load.StopAsync();

        Assert.Equal((1, string.Empty), (deploy.ExitCode, deploy.Out));
        Assert.Contains("Version 'v2' fails to start", deploy.Error, StringComparison.Ordinal);
        Assert.Contains("Version 'v2' starts", deploy.Error, StringComparison.Ordinal);
        Assert.Equal(["OK v1"], answers.Keys);
        Assert.Contains("DEPLOY_FAILED", status.Out, StringComparison.Ordinal);
        Assert.Contains("Version 'v2' fails to start", status.Out, StringComparison.Ordinal);
        Assert.Contains("Version 'v2' starts", status.Out, StringComparison.Ordinal);
        Assert.Contains($" {replicas}/{replicas} ", status.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("start_first")]
    [InlineData("replace")]
    public async Task Deploy_OtherCode_RollsOutInWavesAndFailsNoRequest(string rolling)
    {
        string settings = $"num_replicas = 4\nrolling_update = \"{rolling}\"\nrolling_update_percentage = 0.25";
        using OperatorSite site = new(Faulty("version = \"v1\"", settings));
        await using ServeProcess server = await site.StartAsync();
        await using Load load = new(server);
        int from = server.LineCount;

        Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", Faulty("version = \"v2\"", settings)), "--wait");
        ConcurrentDictionary<string, int> answers = await load.StopAsync();

        Assert.Equal((0, string.Empty), (deploy.ExitCode, deploy.Error));
        Assert.All(answers.Keys, answer => Assert.True(answer is "OK v1" or "OK v2", answer));
        Assert.Equal("v2", await server.Client.GetStringAsync("/", server.Deadline));

        // Each wave is one replica: the next one starts only when the one before runs. The log is read when it is whole: under load it comes later than the answers.
        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
        string[] waves = [.. server.Lines.Skip(from).Where(l => l.Contains("Version 'v2' starts", StringComparison.Ordinal) || l.EndsWith(" runs", StringComparison.Ordinal))
            .Select(l => l.EndsWith(" runs", StringComparison.Ordinal) ? "runs" : "starts")];
        Assert.Equal(["starts", "runs", "starts", "runs", "starts", "runs", "starts", "runs"], waves);
    }

    [Fact]
    public async Task Box_CodeDoesNotStart_TheWayBackIsWithinTheBoxAndTheStatusSaysWhoIsHeldBack()
    {
        const string Box = "[box]\ncpus = 2.0\n\n";
        const string Settings = "num_replicas = 4\nnum_cpus = 1.0\nmax_constructor_retry_count = 1";
        using OperatorSite site = new(Box + Faulty("version = \"v1\"", Settings));
        await using ServeProcess server = await site.StartAsync();
        await using Load load = new(server);

        Finished deploy = await site.RunAsync(server, "deploy", site.Write("bad.toml", Box + Faulty("version = \"v2\", fail_start = true", Settings)), "--wait");
        Finished status = await site.RunAsync(server, "status");
        ConcurrentDictionary<string, int> answers = await load.StopAsync();

        Assert.Equal(1, deploy.ExitCode);
        Assert.Equal(["OK v1"], answers.Keys);
        Assert.Contains(" 2/2 ", status.Out, StringComparison.Ordinal);
        Assert.Contains("Version 'v2' fails to start", status.Out, StringComparison.Ordinal);
        Assert.Contains("Held back by the box", status.Out, StringComparison.Ordinal);
        server.Signal(ServeBinary.Terminate);
        Assert.Equal(0, await server.ExitAsync());
        Assert.Equal(2, server.Lines.Count(l => l.Contains("Version 'v1' starts", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Health_ReplicaIsNoLongerWell_AnotherTakesItsPlaceAndNoRequestFails()
    {
        using OperatorSite site = new(Faulty("version = \"v1\", fail_health_after_s = 0.5", "num_replicas = 2\nhealth_check_period_s = 0.1\nhealth_check_timeout_s = 5.0"));
        await using ServeProcess server = await site.StartAsync();
        int from = server.LineCount;
        await using Load load = new(server);

        string unhealthy = await server.LineAsync(" is unhealthy: it finishes what it has, and another takes its place", from);
        from = server.LineCount;
        await server.LineAsync(" of deployment 'Faulty' in application 'faulty' runs", from);

        Assert.Contains("of deployment 'Faulty'", unhealthy, StringComparison.Ordinal);
        Assert.Equal(["OK v1"], (await load.StopAsync()).Keys);
    }

    /// <summary>What the file no longer says, the code says.</summary>
    [Fact]
    [ContractRow(35)]
    public async Task Deploy_AnOverrideIsTakenOut_TheCodesOwnValueComesBackAndTheReplicaStays()
    {
        using OperatorSite site = new(Toml.Slow(ongoing: 7, queued: 9));
        await using ServeProcess server = await site.StartAsync();
        (int Ongoing, int Queued, string Replica) overridden = await LimitsAsync(server);

        Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", Sparse), "--wait");
        (int Ongoing, int Queued, string Replica) back = await LimitsAsync(server);

        Assert.Equal((0, string.Empty), (deploy.ExitCode, deploy.Error));
        Assert.Equal((7, 9), (overridden.Ongoing, overridden.Queued));
        Assert.Equal((2, 2, overridden.Replica), back);
    }

    private const string Sparse = """
        [[applications]]
        name = "slow"
        import_path = "builtin:slow"

          [[applications.deployments]]
          name = "SlowDeployment"
          user_config = { message = "Hello!", delay_s = 0.0 }

        """;

    private static string Faulty(string args, string settings) =>
        $$"""
        [[applications]]
        name = "faulty"
        import_path = "builtin:faulty"
        args = { {{args}} }

        [[applications.deployments]]
        name = "Faulty"
        {{settings}}

        """;

    private static async Task<(int Ongoing, int Queued, string Replica)> LimitsAsync(ServeProcess server)
    {
        using JsonDocument details = await DetailsAsync(server);
        JsonElement deployment = details.RootElement.GetProperty("applications").GetProperty("slow").GetProperty("deployments").GetProperty("SlowDeployment");
        JsonElement config = deployment.GetProperty("deployment_config");
        return (
            config.GetProperty("max_ongoing_requests").GetInt32(),
            config.GetProperty("max_queued_requests").GetInt32(),
            Assert.Single(deployment.GetProperty("replicas").EnumerateArray()).GetProperty("replica_id").GetString()!);
    }

    private static async Task<JsonDocument> DetailsAsync(ServeProcess server) =>
        JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(server.AdminAddress, "/api/serve/applications/"), server.Deadline));

    /// <summary>Four callers, one request after the other, and what they were answered.</summary>
    private sealed class Load : IAsyncDisposable
    {
        private readonly CancellationTokenSource _enough = new();
        private readonly ConcurrentDictionary<string, int> _answers = new(StringComparer.Ordinal);
        private readonly Task _calling;

        public Load(ServeProcess server) => _calling = Task.WhenAll(Enumerable.Range(0, 4).Select(_ => CallAsync(server)));

        public async Task<ConcurrentDictionary<string, int>> StopAsync()
        {
            await _enough.CancelAsync();
            await _calling;
            return _answers;
        }

        public async ValueTask DisposeAsync()
        {
            await StopAsync();
            _enough.Dispose();
        }

        private async Task CallAsync(ServeProcess server)
        {
            using HttpClient client = server.NewClient();
            do
            {
                using HttpResponseMessage response = await client.GetAsync("/", server.Deadline);
                string body = await response.Content.ReadAsStringAsync(server.Deadline);
                _answers.AddOrUpdate($"{(response.StatusCode == HttpStatusCode.OK ? "OK" : response.StatusCode.ToString())} {body}", 1, static (_, count) => count + 1);
            }
            while (!_enough.IsCancellationRequested);
        }
    }
}
