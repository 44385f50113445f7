using Serve.Embedded.Config;
using Serve.Embedded.Tests.Functional.Wire;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional;

/// <summary>What the kernel takes of a worker's arguments and variables is what may be written, and what it does not take is told as that.</summary>
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
public sealed class WorkerStringsTests
{
    [Theory]
    [InlineData("user_config")]
    [InlineData("args")]
    [InlineData("env_vars")]
    [InlineData("command")]
    public async Task Start_WithTheLongestString_Succeeds(string key)
    {
        SkipWhereThereAreLargerPages();
        await using ScriptedWorker worker = new(async side => await side.ClosedAsync());

        await using TestServer server = await TestServer.StartAsync(new(), With(key, 131_071, worker));

        Assert.Equal("", string.Join(' ', server.Outcome.Failures));
    }

    /// <summary>Nobody can write it; a server's own environment may have it.</summary>
    [Theory]
    [InlineData("user_config", "the variable SERVE_USER_CONFIG")]
    [InlineData("args", "the variable SERVE_ARGS")]
    [InlineData("env_vars", "the variable BIG")]
    [InlineData("command", "argument 5 of the command")]
    public async Task Start_WithALongerString_SaysWhichAndWhatToDo(string key, string what)
    {
        SkipWhereThereAreLargerPages();
        await using ScriptedWorker worker = new(async side => await side.ClosedAsync());

        await using TestServer server = await TestServer.StartAsync(new(), With(key, 131_072, worker));

        string failure = Assert.Single(server.Outcome.Failures);
        Assert.Contains("cannot be started: its arguments and its environment are longer than the system takes: ", failure, StringComparison.Ordinal);
        Assert.Contains($" bytes together, 131072 of them in {what}. Linux takes 131071 of each, and of all a quarter of the limit of the stack", failure, StringComparison.Ordinal);
        Assert.Contains("Pass large values in a file", failure, StringComparison.Ordinal);
    }

    /// <summary>The shell that holds it is there: what is too long is the worker's.</summary>
    [Fact]
    public async Task Start_OfALimitedWorkerWithALongerString_SaysTheSame()
    {
        SkipWhereThereAreLargerPages();
        await using ScriptedWorker worker = new(async side => await side.ClosedAsync());
        ServeConfig config = With("env_vars", 131_072, worker);
        DeploymentConfig deployment = config.Applications[0].Deployments[0];

        await using TestServer server = await TestServer.StartAsync(new(), WorkerInTest.Config(deployment with { Worker = deployment.Worker with { Nice = 1 } }));

        Assert.Contains("131072 of them in the variable BIG", Assert.Single(server.Outcome.Failures), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_WithMoreThanAllStringsMayHave_SaysHowMuchItIs()
    {
        await using ScriptedWorker worker = new(async side => await side.ClosedAsync());
        DeploymentConfig deployment = WorkerInTest.Deployment([.. WorkerInTest.Command(worker), .. Enumerable.Repeat(new string('x', 65_000), 200)]) with { MaxConstructorRetryCount = 1 };

        await using TestServer server = await TestServer.StartAsync(new(), WorkerInTest.Config(deployment));

        Assert.Matches("longer than the system takes: 13[0-9]{6} bytes together, 65000 of them in argument 5 of the command", Assert.Single(server.Outcome.Failures));
    }

    private static ServeConfig With(string key, int bytes, ScriptedWorker worker)
    {
        string Text(string before) => new('x', bytes - before.Length);
        DeploymentConfig deployment = WorkerInTest.Deployment(worker) with { MaxConstructorRetryCount = 1 };
        ServeConfig config = WorkerInTest.Config(key switch
        {
            "user_config" => deployment with { UserConfig = $"\"{Text("SERVE_USER_CONFIG=\"\"")}\"" },
            "env_vars" => deployment with { Worker = deployment.Worker with { RuntimeEnv = new() { EnvVars = [new("BIG", Text("BIG="))] } } },
            "command" => deployment with { Worker = deployment.Worker with { Command = [.. deployment.Worker.Command, Text("")] } },
            _ => deployment,
        });
        return key == "args" ? config with { Applications = [config.Applications[0] with { Args = $$"""{"a":"{{Text("SERVE_ARGS={\"a\":\"\"}")}}"}""" }] } : config;
    }

    private static void SkipWhereThereAreLargerPages() => Assert.SkipUnless(Environment.SystemPageSize == 4096, "The kernel's limit is 32 pages, and they are larger here.");
}
