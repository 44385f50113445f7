using System.Net;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Config;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional;

/// <summary>Deployments that call others, in a whole server: what flows down the graph, and what comes back up.</summary>
public sealed class CompositionTests
{
    private static CancellationToken Deadline => TestServer.Deadline;

    [Fact]
    public async Task Stream_OfAChild_ComesThroughItemByItem()
    {
        Streams streams = new();
        await using TestServer server = await StartAsync(streams);
        using HttpResponseMessage response = await server.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead, Deadline);
        using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));

        Assert.Equal("one", await body.ReadLineAsync(Deadline));
        Assert.Equal(1, Ongoing(server, "Child"));
        streams.Release.SetResult();
        Assert.Equal("two", await body.ReadLineAsync(Deadline));
        Assert.Null(await body.ReadLineAsync(Deadline));
        await IdleAsync(server);
    }

    /// <summary>The status is not sent before the child has said yes.</summary>
    [Fact]
    public async Task Stream_ChildRefuses_ClientGetsTheChildsStatusAndRetryAfter()
    {
        Streams streams = new();
        await using TestServer server = await StartAsync(streams, new DeploymentConfig
        {
            Name = "Child",
            MaxOngoingRequests = 1,
            MaxQueuedRequests = 0,
            Backpressure = new() { StatusCode = 429, RetryAfterS = 9 },
        });
        using HttpResponseMessage holds = await server.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead, Deadline);
        using StreamReader body = new(await holds.Content.ReadAsStreamAsync(Deadline));
        Assert.Equal("one", await body.ReadLineAsync(Deadline));

        using HttpResponseMessage refused = await server.Client.GetAsync("/", Deadline);

        Assert.Equal((HttpStatusCode)429, refused.StatusCode);
        Assert.Equal("9", Assert.Single(refused.Headers.GetValues("Retry-After")));
        streams.Release.SetResult();
    }

    [Fact]
    public async Task Stream_ClientLeaves_ChildsStreamEnds()
    {
        Streams streams = new();
        await using TestServer server = await StartAsync(streams);
        using (HttpResponseMessage response = await server.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead, Deadline))
        {
            using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));
            await body.ReadLineAsync(Deadline);
        }

        await streams.Ended.Task.WaitAsync(Deadline);
        await IdleAsync(server);
    }

    /// <summary>A stream whose handler returned at once is watched like any other.</summary>
    [Fact]
    public async Task Stream_TimesOutMidway_IsBrokenOff()
    {
        ManualTimeProvider time = new();
        Streams streams = new();
        await using TestServer server = await StartAsync(streams, http: new() { RequestTimeout = TimeSpan.FromSeconds(5) }, time: time);
        using HttpResponseMessage response = await server.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead, Deadline);
        using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));
        Assert.Equal("one", await body.ReadLineAsync(Deadline));

        await server.PassTimeUntilAsync(streams.Ended.Task);

        await Assert.ThrowsAnyAsync<IOException>(async () => await body.ReadToEndAsync(Deadline));
    }

    [Theory]
    [InlineData(ServerForm.Port)]
    [InlineData(ServerForm.Embedded)]
    public async Task Headers_OfModelAndSession_AreTheRequests(ServerForm form)
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, string>("Probe", _ => new Says(() => $"{CurrentRequest.Id} {CurrentRequest.ModelId ?? "none"} {CurrentRequest.SessionId ?? "none"}")));
        await using TestServer server = await TestServer.StartAsync(form, registry, Probe.Config());
        using HttpRequestMessage request = new(HttpMethod.Get, "/");
        request.Headers.Add("X-Request-ID", "id");
        request.Headers.Add("serve_multiplexed_model_id", "m");
        request.Headers.Add("x-session-id", "s");
        using HttpResponseMessage response = await server.Client.SendAsync(request, Deadline);
        Assert.Equal("id m s", await response.Content.ReadAsStringAsync(Deadline));

        using HttpRequestMessage next = new(HttpMethod.Get, "/");
        next.Headers.Add("X-Request-ID", "id2");
        using HttpResponseMessage plain = await server.Client.SendAsync(next, Deadline);
        Assert.Equal("id2 none none", await plain.Content.ReadAsStringAsync(Deadline));
    }

    [Theory]
    [InlineData(ServerForm.Port)]
    [InlineData(ServerForm.Embedded)]
    public async Task Models_OverHttp_StayWithOneReplicaAndGoWithIt(ServerForm form)
    {
        List<string> unloaded = [];
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, string>("Probe", c => new Multiplexed(c, unloaded), new() { NumReplicas = 3 }));
        TestServer server = await TestServer.StartAsync(form, registry, new() { Applications = [new() { ImportPath = "test:probe" }] });
        try
        {
            HashSet<string> replicas = [];
            for (int i = 0; i < 10; i++)
            {
                using HttpRequestMessage request = new(HttpMethod.Get, "/");
                request.Headers.Add("serve_multiplexed_model_id", "m");
                using HttpResponseMessage response = await server.Client.SendAsync(request, Deadline);
                replicas.Add(await response.Content.ReadAsStringAsync(Deadline));
            }

            Assert.StartsWith("m on ", Assert.Single(replicas), StringComparison.Ordinal);
            Assert.Empty(unloaded);
        }
        finally
        {
            await server.DisposeAsync();
        }

        Assert.Equal(["m"], unloaded);
    }

    [Theory]
    [InlineData(ServerForm.Port)]
    [InlineData(ServerForm.Embedded)]
    public async Task Session_OverHttp_StaysWithOneReplica(ServerForm form)
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, string>("Probe", c => new Says(() => c.ReplicaId), new() { NumReplicas = 3 }));
        await using TestServer server = await TestServer.StartAsync(form, registry, new() { Applications = [new() { ImportPath = "test:probe" }] });
        HashSet<string> ofOne = [];
        HashSet<string> ofMany = [];
        for (int i = 0; i < 30; i++)
        {
            ofOne.Add(await AskAsync("one"));
            ofMany.Add(await AskAsync($"{i}"));
        }

        Assert.Single(ofOne);
        Assert.True(ofMany.Count > 1);

        async Task<string> AskAsync(string session)
        {
            using HttpRequestMessage request = new(HttpMethod.Get, "/");
            request.Headers.Add("x-session-id", session);
            using HttpResponseMessage response = await server.Client.SendAsync(request, Deadline);
            return await response.Content.ReadAsStringAsync(Deadline);
        }
    }

    /// <summary>Who blocks with Wait or Result gets the refusal inside another exception.</summary>
    [Theory]
    [InlineData(ServerForm.Port)]
    [InlineData(ServerForm.Embedded)]
    public async Task Blocking_WaitsForAChildThatRefuses_ClientGetsTheChildsStatusAndRetryAfter(ServerForm form)
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app
            .AddBlocking<HttpRequest, string>("Probe", c => new Waits(c.GetHandle<string, string>("Child")))
            .Add<string, string>("Child", _ => new Full()));
        await using TestServer server = await TestServer.StartAsync(form, registry, Probe.Config());

        using HttpResponseMessage refused = await server.Client.GetAsync("/", Deadline);

        Assert.Equal((HttpStatusCode.TooManyRequests, "9", "full"), (
            refused.StatusCode, Assert.Single(refused.Headers.GetValues("Retry-After")), await refused.Content.ReadAsStringAsync(Deadline)));
    }

    [Theory]
    [InlineData(ServerForm.Port)]
    [InlineData(ServerForm.Embedded)]
    public async Task Router_ThatThrows_FailsItsRequestWith500(ServerForm form)
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, string>("Probe", _ => new Says(() => "ok"), new() { NumReplicas = 2, Router = new Throws() }));
        await using TestServer server = await TestServer.StartAsync(form, registry, new() { Applications = [new() { ImportPath = "test:probe" }] });

        using HttpResponseMessage failed = await server.Client.GetAsync("/throw", Deadline);
        Assert.Equal(HttpStatusCode.InternalServerError, failed.StatusCode);
        Assert.Equal("ok", await server.Client.GetStringAsync("/", Deadline));
    }

    [Fact]
    public async Task Graph_WithACircle_IsAFailedDeployThatSaysWhich()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, string>("Probe", c => new Caller(c.GetHandle<string, string>("A")))
            .Add<string, string>("A", c => new Passes(c.GetHandle<string, string>("B")))
            .Add<string, string>("B", c => new Passes(c.GetHandle<string, string>("A")), new() { MaxConstructorRetryCount = 1 }));
        ManualTimeProvider time = new();
        await using TestServer server = await StartFailingAsync(registry, time);

        Assert.Contains("call each other in a circle", string.Join('\n', server.Outcome.Failures), StringComparison.Ordinal);
    }

    private static async Task<TestServer> StartFailingAsync(DeploymentRegistry registry, ManualTimeProvider time)
    {
        Task<TestServer> starts = TestServer.StartAsync(registry, new() { Applications = [new() { ImportPath = "test:probe" }] }, time);
        while (!starts.IsCompleted)
        {
            time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }

        return await starts;
    }

    private static Task<TestServer> StartAsync(Streams streams, DeploymentConfig? child = null, HttpOptionsConfig? http = null, TimeProvider? time = null) => TestServer.StartAsync(
        new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, IAsyncEnumerable<string>>("Probe", c => new StreamCaller(c.GetHandle<string, IAsyncEnumerable<string>>("Child")))
            .Add<string, IAsyncEnumerable<string>>("Child", _ => streams)),
        Probe.Config(child, http),
        time);

    private static int Ongoing(TestServer server, string deployment) =>
        server.Server.Status.Applications[0].Deployments.Single(d => d.Served.Name == deployment).Replicas.Sum(static r => r.Permits.Ongoing);

    /// <summary>Every permit is back.</summary>
    private static async Task IdleAsync(TestServer server)
    {
        while (server.Server.Status.Applications[0].Deployments.Sum(static d => d.Replicas.Sum(static r => r.Permits.Ongoing)) != 0)
        {
            Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    /// <summary>The path below the root is what the child is asked.</summary>
    private sealed class Caller(DeploymentHandle<string, string> child) : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => child.CallAsync(request.Path.Value![1..], cancellationToken);
    }

    private sealed class StreamCaller(DeploymentHandle<string, IAsyncEnumerable<string>> child) : IDeployment<HttpRequest, IAsyncEnumerable<string>>
    {
        public ValueTask<IAsyncEnumerable<string>> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new(child.StreamAsync("", cancellationToken));
    }

    private sealed class Passes(DeploymentHandle<string, string> next) : IDeployment<string, string>
    {
        public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => next.CallAsync(request, cancellationToken);
    }

    private sealed class Waits(DeploymentHandle<string, string> child) : IBlockingDeployment<HttpRequest, string>
    {
        public string Handle(HttpRequest request, CancellationToken cancellationToken) => child.CallAsync("", cancellationToken).AsTask().Result;
    }

    private sealed class Full : IDeployment<string, string>
    {
        public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => throw new BackPressureException("full", 429, 9);
    }

    private sealed class Says(Func<string> what) : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new(what());
    }

    private sealed class Multiplexed(DeploymentContext context, List<string> unloaded) : IDeployment<HttpRequest, string>
    {
        private readonly MultiplexedModels<Model> _models = context.CreateModels<Model>((id, _) => new(new Model(id, unloaded)));

        public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
        {
            using ModelLease<Model> lease = await _models.GetAsync(CurrentRequest.ModelId!, cancellationToken);
            return $"{lease.Model.Id} on {context.ReplicaId}";
        }
    }

    private sealed class Model(string id, List<string> unloaded) : IDisposable
    {
        public string Id => id;

        public void Dispose()
        {
            lock (unloaded)
            {
                unloaded.Add(id);
            }
        }
    }

    private sealed class Throws : IRequestRouter
    {
        public int Rank(in RoutedRequest request, ReadOnlySpan<ReplicaView> replicas, Span<int> ranking) =>
            request.Path == "/throw" ? throw new InvalidDataException("no") : 0;
    }

    /// <summary>"one", and "two" when it is released.</summary>
    private sealed class Streams : IDeployment<string, IAsyncEnumerable<string>>
    {
        public TaskCompletionSource Release { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ValueTask<IAsyncEnumerable<string>> HandleAsync(string request, CancellationToken cancellationToken) => new(ReadAsync(cancellationToken));

        private async IAsyncEnumerable<string> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            try
            {
                yield return "one\n";
                await Release.Task.WaitAsync(cancellationToken);
                yield return "two\n";
            }
            finally
            {
                Ended.TrySetResult();
            }
        }
    }
}
