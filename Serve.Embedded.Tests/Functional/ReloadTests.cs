using System.Net;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Functional;

public sealed class ReloadTests
{
    [Fact]
    public async Task Apply_PrefixMovesWhileRequestsRunAndWait_BothAreAnswered()
    {
        Probe probe = new();
        ServeConfig config = At(Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1 }), "/");
        await using TestServer server = await TestServer.StartAsync(probe.Register(), config);
        (Task<HttpResponseMessage> running, ProbeCall call, Task<HttpResponseMessage> waiting) = await SheddingTests.FillAsync(server, probe);

        await server.ApplyAsync(At(config, "/new"));
        call.Return("one");
        (await probe.NextAsync()).Return("two");

        Assert.Equal("one", await (await running).Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.Equal("two", await (await waiting).Content.ReadAsStringAsync(TestServer.Deadline));
    }

    [Fact]
    public async Task Apply_ConstructorFailsOnce_IsTriedAgainAndServes()
    {
        Probe probe = new();
        probe.ConstructorFailures.Enqueue(new InvalidOperationException("not yet"));
        await using TestServer server = await TestServer.StartAsync(probe.Register(), Probe.Config());

        Assert.Empty(server.Outcome.Failures);
        await ReplicaOfAsync(server, probe, "/");
    }

    [Fact]
    public async Task Apply_MoreAndFewerReplicas_ScalesAndAnswersWhatRuns()
    {
        Probe probe = new();
        ServeConfig config = Probe.Config(new() { Name = "Probe", NumReplicas = 1, MaxOngoingRequests = 1 });
        await using TestServer server = await TestServer.StartAsync(probe.Register(), config);
        (Task<HttpResponseMessage> running, ProbeCall first, Task<HttpResponseMessage> waiting) = await SheddingTests.FillAsync(server, probe);

        // The new replica takes the waiter with no further poke.
        await server.ApplyAsync(Probe.Config(new() { Name = "Probe", NumReplicas = 2, MaxOngoingRequests = 1 }));
        ProbeCall second = await probe.NextAsync();
        Assert.NotEqual(first.ReplicaId, second.ReplicaId);

        // The newest goes, when it has finished.
        Task<ApplyOutcome> down = server.ApplyAsync(config);
        second.Return("two");
        await down;
        Assert.Equal("two", await (await waiting).Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.Equal(1, probe.Disposed);
        first.Return("one");
        await running;
        Assert.Equal(first.ReplicaId, await ReplicaOfAsync(server, probe, "/"));
    }

    [Fact]
    public async Task Apply_LimitsChange_TakeEffectOnTheRunningReplica()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1, MaxQueuedRequests = 1 }));
        (Task<HttpResponseMessage> running, ProbeCall first, Task<HttpResponseMessage> waiting) = await SheddingTests.FillAsync(server, probe);

        await server.ApplyAsync(Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 2, MaxQueuedRequests = 0 }));
        ProbeCall second = await probe.NextAsync();
        using HttpResponseMessage refused = await server.Client.GetAsync("/", TestServer.Deadline);

        Assert.Equal(first.ReplicaId, second.ReplicaId);
        Assert.Contains("max_queued_requests=0", await refused.Content.ReadAsStringAsync(TestServer.Deadline), StringComparison.Ordinal);
        first.Return("one");
        second.Return("two");
        await running;
        await waiting;
        Assert.Equal(1, probe.Made);
    }

    [Fact]
    public async Task Apply_UserConfig_IsHandedToTheRunningReplica()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(probe.Register(), Probe.Config(new() { Name = "Probe", UserConfig = """{"a":1}""" }));

        ApplyOutcome outcome = await server.ApplyAsync(Probe.Config(new() { Name = "Probe", UserConfig = """{"a":2}""" }));

        Assert.Empty(outcome.Failures);
        Assert.Equal(["""{"a":1}""", """{"a":2}"""], probe.UserConfigs);
        Assert.Equal(1, probe.Made);
    }

    [Fact]
    public async Task Apply_UserConfigIsRefused_OnlyOneReplicaSawItAndTheOldOneStays()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(probe.Register(), Probe.Config(new() { Name = "Probe", NumReplicas = 3, UserConfig = """{"a":1}""" }));

        ApplyOutcome outcome = await server.ApplyAsync(Probe.Config(new() { Name = "Probe", NumReplicas = 3, UserConfig = """{"bad":1}""" }));

        string failure = Assert.Single(outcome.Failures);
        Assert.Contains("bad is not allowed", failure, StringComparison.Ordinal);
        Assert.Equal(1, probe.UserConfigs.Count(c => c.Contains("bad", StringComparison.Ordinal)));
        Assert.Equal("""{"a":1}""", server.Server.Status.Applications[0].Deployments[0].Goal.UserConfig);
        Assert.Single(server.LogsOf(EventIds.UserConfigRefused));
        await ReplicaOfAsync(server, probe, "/");
    }

    [Fact]
    public async Task Apply_AnotherImportPath_NewReplicasTakeOverWhoWaitsAndTheOldFinishWhatTheyHave()
    {
        Probe old = new();
        Probe next = new();
        DeploymentRegistry registry = next.Register(old.Register(), "test:next");
        ServeConfig config = Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1 });
        await using TestServer server = await TestServer.StartAsync(registry, config);
        (Task<HttpResponseMessage> running, ProbeCall call, Task<HttpResponseMessage> waiting) = await SheddingTests.FillAsync(server, old);

        Task<ApplyOutcome> applied = server.ApplyAsync(config with { Applications = [config.Applications[0] with { ImportPath = "test:next" }] });
        (await next.NextAsync()).Return("two");
        Assert.Equal("two", await (await waiting).Content.ReadAsStringAsync(TestServer.Deadline));
        await ReplicaOfAsync(server, next, "/");

        Assert.False(applied.IsCompleted);
        call.Return("one");
        Assert.Equal("one", await (await running).Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.Empty((await applied).Failures);
        Assert.Equal(1, old.Disposed);
    }

    [Fact]
    public async Task Apply_TheNewImportPathCannotStart_TheOldGoesOn()
    {
        Probe old = new();
        Probe next = new();
        for (int i = 0; i < 3; i++)
        {
            next.ConstructorFailures.Enqueue(new InvalidOperationException("broken build"));
        }

        DeploymentRegistry registry = next.Register(old.Register(), "test:next");
        ServeConfig config = Probe.Config();
        await using TestServer server = await TestServer.StartAsync(registry, config);

        ApplyOutcome outcome = await server.ApplyAsync(config with { Applications = [config.Applications[0] with { ImportPath = "test:next" }] });

        Assert.Contains("broken build", Assert.Single(outcome.Failures), StringComparison.Ordinal);
        Assert.Equal(ApplicationStatus.DeployFailed, server.Server.Status.Applications[0].Status);
        await ReplicaOfAsync(server, old, "/");
    }

    [Fact]
    public async Task Apply_TheSameAgain_ChangesNothing()
    {
        Probe probe = new();
        ServeConfig config = Probe.Config(new() { Name = "Probe", UserConfig = "{}" });
        await using TestServer server = await TestServer.StartAsync(probe.Register(), config);

        await server.ApplyAsync(config);

        Assert.Equal(1, probe.Made);
        Assert.Single(probe.UserConfigs);
        Assert.Empty(server.LogsOf(EventIds.ConfigChanged));
    }

    [Fact]
    public async Task Apply_ListeningPortChanges_IsReportedAndNotTaken()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(probe.Register(), Probe.Config());

        await server.Server.Apply(Probe.Config() with { Http = new() { Port = 1 }, Admin = new() { Port = 0 } }, new Dictionary<PythonSource, PythonCode>()).Settled;

        Assert.Contains("http_options.port: 0 -> 1", Assert.Single(server.LogsOf(EventIds.ConfigNeedsRestart)).Message, StringComparison.Ordinal);
        Assert.Equal(0, server.Server.Config.Http.Port);
    }

    [Fact]
    public async Task Stop_RequestsRunAndWait_AllAreAnsweredAndHandlersAreDisposed()
    {
        Probe probe = new();
        await using TestServer server = await TestServer.StartAsync(probe.Register(), Probe.Config(new() { Name = "Probe", MaxOngoingRequests = 1 }));
        (Task<HttpResponseMessage> running, ProbeCall call, Task<HttpResponseMessage> waiting) = await SheddingTests.FillAsync(server, probe);

        Task stopping = server.StopAsync();
        call.Return("one");
        (await probe.NextAsync()).Return("two");

        Assert.Equal("one", await (await running).Content.ReadAsStringAsync(TestServer.Deadline));
        using HttpResponseMessage last = await waiting;
        Assert.Equal("two", await last.Content.ReadAsStringAsync(TestServer.Deadline));
        Assert.True(last.Headers.ConnectionClose);
        await stopping;
        Assert.Equal(1, probe.Disposed);
    }

    private static ServeConfig At(ServeConfig config, string prefix) =>
        config with { Applications = [config.Applications[0] with { RoutePrefix = prefix }] };

    /// <summary>Makes one request and says which replica answered it.</summary>
    private static async Task<string> ReplicaOfAsync(TestServer server, Probe probe, string path)
    {
        Task<HttpResponseMessage> running = server.Client.GetAsync(path, TestServer.Deadline);
        ProbeCall call = await probe.NextAsync();
        call.Return("ok");
        Assert.Equal("ok", await (await running).Content.ReadAsStringAsync(TestServer.Deadline));
        return call.ReplicaId;
    }
}
