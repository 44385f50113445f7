using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Debian's Prometheus with the example's files, reading the published executable as an operator's does.</summary>
public sealed class BinaryPrometheusTests
{
    private const string Example = "examples/prometheus";
    private const string Token = "s3cret";

    /// <summary>What the linter holds against Ray Serve's names, and nothing else.</summary>
    private static readonly string[] Faults = ["metric names should not contain abbreviated units", "metric name should not include type 'counter'"];

    [Fact]
    public async Task Promtool_MetricsOfARunningServer_AreRead()
    {
        await SkipWithoutPrometheusAsync();
        await using ServeProcess server = await ServeProcess.StartAsync(Toml.Slow());
        await server.Client.GetStringAsync("/", server.Deadline);
        await server.Client.GetStringAsync(new Uri(server.AdminAddress, "/metrics"), server.Deadline);
        await server.Client.GetStringAsync("/", server.Deadline);
        await server.Client.GetStringAsync("/-/healthz", server.Deadline);
        string metrics = await server.Client.GetStringAsync(new Uri(server.AdminAddress, "/metrics"), server.Deadline);

        Finished promtool = await RunAsync(server.Folder, $"promtool check metrics < {server.Folder.Write("metrics", metrics)}");

        Assert.Contains("serve_http_request_latency_ms_bucket", metrics, StringComparison.Ordinal);
        Assert.Equal(0, Exposition.Parse(metrics).Sum("serve_log_lines_dropped_total"));
        Assert.All(
            promtool.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.Contains(Faults, f => line.EndsWith(f, StringComparison.Ordinal) && line.StartsWith("serve_", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Prometheus_ExamplesFiles_AnswerARateAQuantileAndRaysNames()
    {
        await SkipWithoutPrometheusAsync();
        using OperatorSite site = new(string.Empty);
        string token = site.Write("serve.token", Token);
        site.Write($"[admin_options]\ntoken_file = \"{token}\"\n{Toml.Slow(delay: 0.15, ongoing: 1, queued: 0)}");
        await using ServeProcess server = await site.StartAsync();
        site.Write("alerts.yml", Repository.Read($"{Example}/alerts.yml"));
        site.Write("prometheus.yml", ConfigFor(server, token));
        Finished check = await RunAsync(server.Folder, $"cd {site.Folder} && promtool check config prometheus.yml && promtool check rules alerts.yml");
        Assert.True(check.ExitCode == 0, check.Out + check.Error);

        int port = BinaryNeighboursTests.FreePort();
        using Process prometheus = Process.Start(new ProcessStartInfo(
            "prometheus",
            ["--config.file", Path.Combine(site.Folder, "prometheus.yml"), "--storage.tsdb.path", Path.Combine(site.Folder, "data"), "--web.listen-address", $"127.0.0.1:{port}", "--log.level", "warn"])
        { RedirectStandardError = true, RedirectStandardOutput = true })!;
        ProcessLines lines = new(prometheus.StandardError, prometheus.StandardOutput);
        using CancellationTokenSource enough = CancellationTokenSource.CreateLinkedTokenSource(server.Deadline);
        Task<int>[] clients = [LoadAsync(server, enough.Token), LoadAsync(server, enough.Token)];
        try
        {
            using HttpClient client = new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new($"http://127.0.0.1:{port}") };
            double rate = await UntilAsync(client, "sum(rate(serve_num_http_requests_total{application=\"slow\",status_code=\"200\"}[5s]))", v => v > 1, server, lines);
            double refused = await UntilAsync(client, "sum(rate(serve_num_refused_requests_total{reason=\"queue_full\"}[5s]))", v => v > 0, server, lines);
            double median = await UntilAsync(
                client, "histogram_quantile(0.5, sum by (le) (rate(serve_http_request_latency_ms_bucket{status_code=\"200\"}[5s])))", v => v > 0, server, lines);
            double rays = await UntilAsync(client, "sum(rate(ray_serve_deployment_request_counter_total{deployment=\"SlowDeployment\"}[5s]))", v => v > 0, server, lines);

            // The server answers one after the other, each in 150 ms; the bucket that these are in ends at 200.
            Assert.InRange(rate, 1, 7.5);
            Assert.InRange(rays, 0.1, 7.5);
            Assert.InRange(median, 100, 300);
            Assert.True(refused > 0);
            Assert.Equal(1, await UntilAsync(client, "min(up)", _ => true, server, lines));

            // Every alert can be asked for, and the one that there is reason for is on its way.
            await UntilAsync(client, "ALERTS{alertname=\"ServeRefuses\",alertstate=\"pending\",deployment=\"SlowDeployment\"}", _ => true, server, lines);
            Assert.All(await RulesAsync(client, server.Deadline), rule => Assert.Equal(("ok", ""), (rule!["health"]!.GetValue<string>(), $"{rule["lastError"]}")));
            Assert.Equal(0, await UntilAsync(client, "count(ALERTS{alertname!=\"ServeRefuses\"}) or vector(0)", _ => true, server, lines));
        }
        finally
        {
            await enough.CancelAsync();
            prometheus.Kill();
            await prometheus.WaitForExitAsync(CancellationToken.None);
            await lines.Ended;
        }

        Assert.All(await Task.WhenAll(clients), answered => Assert.True(answered > 0));
    }

    private static async Task SkipWithoutPrometheusAsync()
    {
        await Programs.SkipWithoutAsync("prometheus", "--version");
        await Programs.SkipWithoutAsync("promtool", "--version");
    }

    /// <summary>The example's file for this server, in short intervals, and once more with what its comments offer: a token, and names for Ray Serve's dashboards.</summary>
    private static string ConfigFor(ServeProcess server, string token)
    {
        string example = Repository.Read($"{Example}/prometheus.yml")
            .Replace("127.0.0.1:8265", server.AdminAddress.Authority, StringComparison.Ordinal)
            .Replace("15s", "500ms", StringComparison.Ordinal)
            .Replace("# authorization:", "authorization:", StringComparison.Ordinal)
            .Replace("#   credentials_file: /etc/prometheus/serve.token", $"  credentials_file: {token}", StringComparison.Ordinal);
        string job = example[example.IndexOf("  - job_name", StringComparison.Ordinal)..];
        string forRay = job
            .Replace("job_name: serve", "job_name: ray", StringComparison.Ordinal)
            .Replace("# metric_relabel_configs:", "metric_relabel_configs:", StringComparison.Ordinal)
            .Replace("    #   ", "      ", StringComparison.Ordinal);
        return $"{example}\n{forRay}";
    }

    /// <summary>Asks without a pause, until it is enough.</summary>
    private static async Task<int> LoadAsync(ServeProcess server, CancellationToken enough)
    {
        int answered = 0;
        using HttpClient client = server.NewClient();
        while (!enough.IsCancellationRequested)
        {
            using HttpResponseMessage response = await client.GetAsync("/", server.Deadline);
            answered += response.IsSuccessStatusCode ? 1 : 0;
            if (!response.IsSuccessStatusCode)
            {
                // A refusal takes no time: ask whether the server is there before the next, which then meets another moment.
                await client.GetStringAsync("/-/healthz", server.Deadline);
            }
        }

        return answered;
    }

    /// <summary>What a query says, once that is as expected.</summary>
    private static async Task<double> UntilAsync(HttpClient client, string query, Predicate<double> expected, ServeProcess server, ProcessLines lines)
    {
        double? last = null;
        try
        {
            while (true)
            {
                last = await QueryAsync(client, query, server.Deadline);
                if (last is { } value && expected(value))
                {
                    return value;
                }

                await Task.Yield();
            }
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"{query} was {last} at last.\n{string.Join('\n', lines.All)}");
        }
    }

    /// <returns><see langword="null"/> = there is no such series yet, or nobody who could say.</returns>
    private static async Task<double?> QueryAsync(HttpClient client, string query, CancellationToken deadline)
    {
        try
        {
            using HttpResponseMessage response = await client.GetAsync($"/api/v1/query?query={Uri.EscapeDataString(query)}", deadline);
            if (!response.IsSuccessStatusCode)
            {
                return null;
            }

            JsonArray result = JsonNode.Parse(await response.Content.ReadAsStringAsync(deadline))!["data"]!["result"]!.AsArray();
            return result.Count == 0 ? null : double.Parse(result[0]!["value"]![1]!.GetValue<string>(), CultureInfo.InvariantCulture);
        }
        catch (HttpRequestException)
        {
            deadline.ThrowIfCancellationRequested();
            return null;
        }
    }

    /// <summary>All rules, once each has been asked for.</summary>
    private static async Task<JsonNode?[]> RulesAsync(HttpClient client, CancellationToken deadline)
    {
        while (true)
        {
            JsonArray groups = JsonNode.Parse(await client.GetStringAsync("/api/v1/rules", deadline))!["data"]!["groups"]!.AsArray();
            JsonNode?[] rules = [.. groups.SelectMany(g => g!["rules"]!.AsArray())];
            if (rules.All(r => r!["health"]!.GetValue<string>() != "unknown"))
            {
                return rules;
            }
        }
    }

    private static Task<Finished> RunAsync(TempFolder folder, string command) =>
        ServeBinary.RunAsync(new Invocation { Program = "/bin/sh", Arguments = ["-c", command], Directory = folder.Path });
}
