using System.Text.Json;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>What an accepted configuration leaves on the disk, and what one that says nothing new does not.</summary>
public sealed class BinaryGenerationsTests
{
    private const UnixFileMode ForThisUserAlone = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>By each of the three roads. The count of requests is that of the replica's handles: it would begin anew too.</summary>
    [Fact]
    public async Task Deploy_TheSameAgain_ChangesNothingAndIsNoGeneration()
    {
        using OperatorSite site = new(Toml.Slow(replicas: 3));
        await using ServeProcess server = await site.StartAsync();
        Assert.Equal("Hello!", await server.Client.GetStringAsync("/", server.Deadline));
        string before = await ReplicasAsync(server);
        int from = server.LineCount;

        Finished deploy = await site.RunAsync(server, "deploy", site.ConfigPath, "--wait");
        IReadOnlyList<string> reload = await server.ReloadAsync(Toml.Slow(replicas: 3));
        Finished config = await site.RunAsync(server, "config", "--json");
        using StringContent body = new(config.Out);
        using HttpResponseMessage put = await server.Client.PutAsync(new Uri(server.AdminAddress, "/api/serve/applications/"), body, server.Deadline);
        using JsonDocument accepted = JsonDocument.Parse(await put.Content.ReadAsStringAsync(server.Deadline));
        Finished history = await site.RunAsync(server, "history");

        Assert.Equal((0, "Generation 1 is healthy.\n"), (deploy.ExitCode, deploy.Out));
        Assert.EndsWith(": 0 change(s)", reload[^1], StringComparison.Ordinal);
        Assert.Equal(1, accepted.RootElement.GetProperty("generation").GetInt32());
        Assert.Equal(2, history.Out.TrimEnd().Split('\n').Length);
        Assert.Equal(before, await ReplicasAsync(server));
        Assert.DoesNotContain(server.Lines.Skip(from), l => l.Contains(" controller ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task State_AfterManyDeploys_IsTheLastTwentyForThisUserAlone()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no file modes.");
            return;
        }

        using OperatorSite site = new(Toml.Echo(http: "request_timeout_s = 1.0"));
        await using ServeProcess server = await site.StartAsync();
        for (int i = 2; i <= 24; i++)
        {
            Finished deploy = await site.RunAsync(server, "deploy", site.Write("next.toml", Toml.Echo(http: $"request_timeout_s = {i}.0")), "--wait");
            Assert.Equal((0, string.Empty), (deploy.ExitCode, deploy.Error));
        }

        string folder = Assert.Single(Directory.GetDirectories(Path.Combine(site.Folder, "state", "serve")));
        Assert.Equal(ForThisUserAlone | UnixFileMode.UserExecute, File.GetUnixFileMode(folder));
        string[] files = [.. Directory.GetFileSystemEntries(folder).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        Assert.Equal([.. Enumerable.Range(5, 20).Select(n => $"{n:000000}.json"), "lock"], files);
        foreach (string file in files)
        {
            Assert.Equal(ForThisUserAlone, File.GetUnixFileMode(Path.Combine(folder, file)));
        }

        Assert.Equal(21, (await site.RunAsync(server, "history")).Out.TrimEnd().Split('\n').Length);
    }

    /// <summary>A server that was killed holds nothing.</summary>
    [Fact]
    public async Task Lock_OfAServerThatWasKilled_IsFree()
    {
        using OperatorSite site = new(Toml.Slow());
        await using (ServeProcess killed = await site.StartAsync())
        {
            killed.Signal(9);
            await killed.ExitAsync();
        }

        await using ServeProcess next = await site.StartAsync();

        Assert.DoesNotContain(next.Lines, l => l.Contains("Another server", StringComparison.Ordinal));
        Assert.DoesNotContain("memory only", (await site.RunAsync(next, "status")).Out, StringComparison.Ordinal);
    }

    /// <summary>The replicas, and how many requests there were.</summary>
    private static async Task<string> ReplicasAsync(ServeProcess server)
    {
        using JsonDocument status = JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(server.AdminAddress, "/api/serve/applications/?view=full"), server.Deadline));
        JsonElement deployment = status.RootElement.GetProperty("applications").GetProperty("slow").GetProperty("deployments").GetProperty("SlowDeployment");
        return $"{string.Join(' ', deployment.GetProperty("replicas").EnumerateArray().Select(r => r.GetProperty("replica_id").GetString()))} {deployment.GetProperty("requests").GetProperty("completed").GetInt32()}";
    }
}
