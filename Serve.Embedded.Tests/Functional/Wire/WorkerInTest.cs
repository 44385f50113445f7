using Serve.Embedded.Config;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>
/// A whole server whose worker is the test: the process that the server starts does nothing but put a link to the test's own socket where its socket is looked for.
/// </summary>
internal static class WorkerInTest
{
    public static string[] Command(ScriptedWorker worker) => ["sh", "-c", "ln -s \"$1\" \"$0\" && exec sleep 3600", "{socket}", worker.Path];

    public static DeploymentConfig Deployment(ScriptedWorker worker) => Deployment(Command(worker));

    public static DeploymentConfig Deployment(string[] command) => new()
    {
        Name = "w",
        MaxOngoingRequests = 100,
        GracefulShutdownTimeout = TimeSpan.FromSeconds(1),
        Worker = new() { Command = [.. command] },
    };

    public static ServeConfig Config(DeploymentConfig deployment, HttpOptionsConfig? http = null, string prefix = "/") => new()
    {
        Http = http ?? new(),
        Box = new() { Cpus = 64 },
        Applications = [new() { RoutePrefix = prefix, Deployments = [deployment] }],
    };

    public static async Task<TestServer> StartAsync(ScriptedWorker worker, HttpOptionsConfig? http = null, string prefix = "/") =>
        await StartAsync(Config(Deployment(worker), http, prefix));

    public static async Task<TestServer> StartAsync(ServeConfig config, TimeProvider? time = null)
    {
        TestServer server = await TestServer.StartAsync(new(), config, time);
        Assert.Equal("", string.Join(' ', server.Outcome.Failures));
        return server;
    }
}
