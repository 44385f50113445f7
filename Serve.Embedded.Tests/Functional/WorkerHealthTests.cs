using System.Net;
using Serve.Embedded.Config;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional.Binary;
using Serve.Embedded.Tests.Functional.Wire;
using Serve.Embedded.Tests.Replicas.Workers;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional;

/// <summary>What the server does with a class of Python that is not well.</summary>
public sealed class WorkerHealthTests : IDisposable
{
    /// <summary>On the test's clock, on which a process takes long to start.</summary>
    private static readonly TimeSpan StartupTimeout = TimeSpan.FromHours(1);

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task PlainHandlers_ThatHangAfterTheirRequests_HaveTheirReplicaReplaced()
    {
        ServeConfig config = await ConfigAsync(
            """
            import threading
            class Model:
                def __call__(self, request):
                    if request.path == "/hang":
                        threading.Event().wait()
                    return "ok"
            """,
            new() { Name = "Model", MaxOngoingRequests = 2, HealthCheckPeriod = TimeSpan.FromSeconds(0.2), HealthCheckTimeout = TimeSpan.FromSeconds(1) });
        await using TestServer server = await TestServer.StartAsync(new(), config with { Http = new() { RequestTimeout = TimeSpan.FromSeconds(1) } });
        Assert.Empty(server.Outcome.Failures);

        HttpStatusCode[] hung = await Task.WhenAll(StatusAsync(server, "/hang"), StatusAsync(server, "/hang"));

        Assert.Equal([HttpStatusCode.RequestTimeout, HttpStatusCode.RequestTimeout], hung);
        Assert.Contains("2 handlers still run 1 s after their requests ended: Model.__call__.", (await server.LogAsync(EventIds.HealthCheckFailed)).Message, StringComparison.Ordinal);
        while (await StatusAsync(server, "/") != HttpStatusCode.OK)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
        }
    }

    [Theory]
    [InlineData("def")]
    [InlineData("async def")]
    public async Task FirstCheckHealth_OfAClassThatRaises_IsAFailedStartAtOnce(string def)
    {
        ServeConfig config = await ConfigAsync(
            $"""
            class Model:
                {def} check_health(self): raise RuntimeError("no GPU")
                def __call__(self, request): ...
            """,
            new() { Name = "Model", MaxConstructorRetryCount = 1 });

        await using TestServer server = await TestServer.StartAsync(new(), config);

        Assert.Contains("Its first check_health failed: RuntimeError: no GPU", Assert.Single(server.Outcome.Failures), StringComparison.Ordinal);
    }

    [Fact]
    public async Task HealthCheckPath_OfACommandThatStillLoads_IsAskedUntilItIsWell()
    {
        int asked = 0;
        await using ScriptedWorker worker = new(async side =>
        {
            if ((await side.ReadHeadAsync()).StartsWith("GET /health ", StringComparison.Ordinal))
            {
                await side.SendAsync(Interlocked.Increment(ref asked) < 4 ? "HTTP/1.1 503 Loading\r\nContent-Length: 0\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        DeploymentConfig deployment = WorkerInTest.Deployment(worker);

        await using TestServer server = await WorkerInTest.StartAsync(WorkerInTest.Config(deployment with { Worker = deployment.Worker with { HealthCheckPath = "/health" } }));

        Assert.True(asked >= 4);
    }

    [Theory]
    [InlineData("__init__", "its module is still being imported, or its constructor or reconfigure still runs. Raise startup_timeout_s")]
    [InlineData("check_health", "its first check_health still runs. Raise startup_timeout_s")]
    public async Task StartupTimeout_OfAClassThatIsStillBusy_SaysWithWhat(string hangs, string reason)
    {
        ServeConfig config = await ConfigAsync(
            $"""
            import threading
            class Model:
                def {hangs}(self):
                    open("busy", "w").close()
                    threading.Event().wait()
                def __call__(self, request): ...
            """,
            new() { Name = "Model", MaxConstructorRetryCount = 1, Worker = new() { StartupTimeout = StartupTimeout } });

        string failure = await FailureAsync(config, () => File.Exists(Path.Combine(_folder.Path, "busy")));

        Assert.Contains($"The worker was not ready within startup_timeout_s = {StartupTimeout.TotalSeconds}: {reason}", failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task StartupTimeout_OfACommandThatTakesConnectionsAndIsSilent_SaysSoAndWhere()
    {
        bool asked = false;
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            Volatile.Write(ref asked, true);
            await side.ClosedAsync();
        });
        DeploymentConfig deployment = WorkerInTest.Deployment(["sh", "-c", "ln -s \"$0\" \"$SERVE_SOCKET\" && exec sleep 3600", worker.Path]);
        deployment = deployment with { MaxConstructorRetryCount = 1, Worker = deployment.Worker with { HealthCheckPath = "/health", StartupTimeout = StartupTimeout } };

        string failure = await FailureAsync(WorkerInTest.Config(deployment), () => Volatile.Read(ref asked));

        Assert.Matches(": it took a connection at [^ ]*, and has not answered GET /health. It must speak HTTP/1.1 on the Unix socket ", failure);
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(3, false)]
    public async Task Command_ThatEndsBeforeItListens_SaysThatItMustNotBeADaemon(int exitCode, bool isTold)
    {
        DeploymentConfig deployment = WorkerInTest.Deployment(["sh", "-c", $"exit {exitCode}"]);

        await using TestServer server = await TestServer.StartAsync(new(), WorkerInTest.Config(deployment with { MaxConstructorRetryCount = 1 }));

        string failure = Assert.Single(server.Outcome.Failures);
        Assert.Contains($"exit code {exitCode}", failure, StringComparison.Ordinal);
        Assert.Equal(isTold, failure.Contains("It must stay in the foreground", StringComparison.Ordinal));
    }

    /// <summary>Of a start whose time is over, which it is not before the worker is so far.</summary>
    private static async Task<string> FailureAsync(ServeConfig config, Func<bool> isSoFar)
    {
        ManualTimeProvider time = new();
        Task<TestServer> starting = TestServer.StartAsync(new(), config, time);
        while (!isSoFar() && !starting.IsCompleted)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            // In small steps: the import, which takes real time, has its own limit on this clock.
            time.Advance(TimeSpan.FromMicroseconds(100));
            await Task.Yield();
        }

        await time.PassUntilAsync(starting, TimeSpan.FromSeconds(1));
        await using TestServer server = await starting;
        return Assert.Single(server.Outcome.Failures);
    }

    private static async Task<HttpStatusCode> StatusAsync(TestServer server, string path)
    {
        using HttpResponseMessage response = await server.Client.GetAsync(path, TestServer.Deadline);
        return response.StatusCode;
    }

    private async Task<ServeConfig> ConfigAsync(string module, DeploymentConfig deployment)
    {
        string python = await PythonHost.PythonOrSkipAsync();
        _folder.Write("m.py", module);
        return new()
        {
            Box = new() { Cpus = 64 },
            Applications = [new() { Name = "py", ImportPath = "python:m.Model", Python = python, RuntimeEnv = new() { WorkingDir = _folder.Path }, Deployments = [deployment] }],
        };
    }
}
