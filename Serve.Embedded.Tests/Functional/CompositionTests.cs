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

    /// <summary>Rows 18 and 20 of the contract: the deadline ends the child's call too, and the client gets 408.</summary>
    [Fact]
    public async Task Deadline_OfTheRequest_EndsTheChildsCall()
    {
        ManualTimeProvider time = new();
        Child child = new();
        await using TestServer server = await StartAsync(child, new() { RequestTimeout = TimeSpan.FromSeconds(5) }, time);
        Task<HttpResponseMessage> request = server.Client.GetAsync("/block", Deadline);
        await child.BeginsAsync("block");

        await server.PassTimeUntilAsync(request);

        Assert.Equal(HttpStatusCode.RequestTimeout, (await request).StatusCode);
        await child.CancelledAsync("block");
        await IdleAsync(server);
    }

    /// <summary>A child's call that waits in the queue never reaches the replica.</summary>
    [Fact]
    public async Task Deadline_OfARequestWhoseChildsCallWaits_TakesItOutOfTheQueue()
    {
        ManualTimeProvider time = new();
        Child child = new();
        await using TestServer server = await StartAsync(child, new() { RequestTimeout = TimeSpan.FromDays(1) }, time, maxOngoing: 1);
        Task<string> holds = server.Client.GetStringAsync("/hold", Deadline);
        await child.BeginsAsync("hold");
        using HttpRequestMessage impatient = new(HttpMethod.Get, "/late");
        impatient.Headers.Add("x-request-timeout-seconds", "3");
        Task<HttpResponseMessage> late = server.Client.SendAsync(impatient, Deadline);
        while (server.Waiting == 0)
        {
            Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        await server.PassTimeUntilAsync(late);

        Assert.Equal(HttpStatusCode.RequestTimeout, (await late).StatusCode);
        while (server.Waiting != 0)
        {
            Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        child.Release();
        Assert.Equal("hold", await holds);
        Assert.DoesNotContain("late", child.Begun);
    }

    /// <summary>Rows 21 and 22: the client's leaving cancels the child's call, and no other.</summary>
    [Fact]
    public async Task ClientLeaves_ItsChildsCallIsCancelled_SiblingsAreNot()
    {
        Child child = new();
        await using TestServer server = await StartAsync(child);
        Task<string> stays = server.Client.GetStringAsync("/hold", Deadline);
        await child.BeginsAsync("hold");
        using CancellationTokenSource leaves = CancellationTokenSource.CreateLinkedTokenSource(Deadline);
        Task<HttpResponseMessage> left = server.Client.GetAsync("/block", leaves.Token);
        await child.BeginsAsync("block");

        await leaves.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        await child.CancelledAsync("block");
        child.Release();
        Assert.Equal("hold", await stays);
    }

    /// <summary>Row 22, second part: what a constructor began is nobody's request.</summary>
    [Fact]
    public async Task ClientLeaves_WhatTheConstructorBegan_GoesOn()
    {
        Child child = new();
        Task<string>? background = null;
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, string>("Probe", c =>
            {
                DeploymentHandle<string, string> handle = c.GetHandle<string, string>("Child");
                background = handle.CallAsync("hold", CancellationToken.None).AsTask();
                return new Caller(handle);
            })
            .Add<string, string>("Child", _ => child));
        await using TestServer server = await TestServer.StartAsync(registry, Probe.Config());
        await child.BeginsAsync("hold");
        using CancellationTokenSource leaves = CancellationTokenSource.CreateLinkedTokenSource(Deadline);
        Task<HttpResponseMessage> left = server.Client.GetAsync("/block", leaves.Token);
        await child.BeginsAsync("block");

        await leaves.CancelAsync();
        await child.CancelledAsync("block");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);

        child.Release();
        Assert.Equal("hold", await background!.WaitAsync(Deadline));
    }

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

    private static Task<TestServer> StartAsync(Child child, HttpOptionsConfig? http = null, TimeProvider? time = null, int maxOngoing = 5) => TestServer.StartAsync(
        new DeploymentRegistry().AddApplication("test:probe", app => app
            .Add<HttpRequest, string>("Probe", c => new Caller(c.GetHandle<string, string>("Child")))
            .Add<string, string>("Child", _ => child, new() { MaxOngoingRequests = maxOngoing })),
        Probe.Config(http: http),
        time);

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

    /// <summary>"hold" waits until it is released, "block" until it is cancelled.</summary>
    private sealed class Child : IDeployment<string, string>
    {
        private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly List<string> _begun = [];
        private readonly List<string> _cancelled = [];

        public IReadOnlyList<string> Begun => Copy(_begun);

        public void Release() => _release.SetResult();

        public Task BeginsAsync(string request) => HoldsAsync(_begun, request);

        public Task CancelledAsync(string request) => HoldsAsync(_cancelled, request);

        public async ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken)
        {
            Add(_begun, request);
            try
            {
                await (request == "block" ? Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken) : _release.Task.WaitAsync(cancellationToken));
            }
            catch (OperationCanceledException)
            {
                Add(_cancelled, request);
                throw;
            }

            return request;
        }

        private static void Add(List<string> list, string request)
        {
            lock (list)
            {
                list.Add(request);
            }
        }

        private static string[] Copy(List<string> list)
        {
            lock (list)
            {
                return [.. list];
            }
        }

        private static async Task HoldsAsync(List<string> list, string request)
        {
            while (!Copy(list).Contains(request))
            {
                Deadline.ThrowIfCancellationRequested();
                await Task.Yield();
            }
        }
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
