using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Tests.Functional;

namespace Serve.Embedded.Tests.Deployments;

/// <summary>Batches whose handlers block or answer with streams, and handlers of all kinds of batches that the container makes.</summary>
public sealed class OtherBatchesTests
{
    private static readonly BatchOptions<int> Two = new() { MaxBatchSize = 2, BatchWaitTimeout = TimeSpan.FromDays(1) };

    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Streaming_TwoCallers_EachReadsItsOwnStreamToItsOwnEnd()
    {
        await using ServeHost host = await StartAsync(app => app.AddStreamingBatch<int, string>("Counts", _ => new Counts(), Two));
        DeploymentHandle<int, IAsyncEnumerable<string>> counts = Handle(host);

        List<string>[] read = await Task.WhenAll(ReadAsync(counts, 1), ReadAsync(counts, 3));

        Assert.Equal(["1 of 1 among 2"], read[0]);
        Assert.Equal(["1 of 3 among 2", "2 of 3 among 2", "3 of 3 among 2"], read[1]);
    }

    [Fact]
    public async Task Streaming_HandlerThrows_EndsTheStreamsThatHaveNotEndedAndNoOther()
    {
        await using ServeHost host = await StartAsync(app => app.AddStreamingBatch<int, string>("Counts", _ => new Counts { ThrowsAfter = 2 }, Two));
        DeploymentHandle<int, IAsyncEnumerable<string>> counts = Handle(host);
        Task<List<string>> ends = ReadAsync(counts, 1);
        List<string> read = [];

        await Assert.ThrowsAsync<InvalidDataException>(() => ReadAsync(counts, 3, read));

        Assert.Equal(["1 of 1 among 2"], await ends);
        Assert.Equal(["1 of 3 among 2", "2 of 3 among 2"], read);
    }

    [Fact]
    public async Task Streaming_WrongNumberOfSteps_FailsEveryCaller()
    {
        await using ServeHost host = await StartAsync(app => app.AddStreamingBatch<int, string>("Counts", _ => new Counts { Forgets = true }, Two));
        DeploymentHandle<int, IAsyncEnumerable<string>> counts = Handle(host);
        Task<List<string>> first = ReadAsync(counts, 1);
        Task<List<string>> second = ReadAsync(counts, 2);

        InvalidOperationException failure = await Assert.ThrowsAsync<InvalidOperationException>(() => first);

        Assert.Equal("Batched function doesn't preserve batch size. The handler of deployment 'Counts' was given 2 request(s) and yielded 1 step(s): it must yield one for each, in the same order.", failure.Message);
        await Assert.ThrowsAsync<InvalidOperationException>(() => second);
    }

    /// <summary>One who leaves stops nothing; when nobody reads any more the handler is told, and until it has ended no other batch begins.</summary>
    [Fact]
    public async Task Streaming_CallersLeave_TheLastOneEndsTheHandlerAndThenTheNextBatchBegins()
    {
        Counts handler = new() { Hangs = new(TaskCreationOptions.RunContinuationsAsynchronously) };
        await using ServeHost host = await StartAsync(app => app.AddStreamingBatch<int, string>("Counts", _ => handler, Two));
        DeploymentHandle<int, IAsyncEnumerable<string>> counts = Handle(host);
        IAsyncEnumerator<string> one = counts.StreamAsync(5, Deadline).GetAsyncEnumerator(Deadline);
        IAsyncEnumerator<string> other = counts.StreamAsync(5, Deadline).GetAsyncEnumerator(Deadline);
        bool[] begun = await Task.WhenAll(one.MoveNextAsync().AsTask(), other.MoveNextAsync().AsTask());
        Task<List<string>>[] next = [ReadAsync(counts, 1), ReadAsync(counts, 1)];

        await one.DisposeAsync();
        bool toldAfterOne = handler.Told.Task.IsCompleted;
        int batchesMeanwhile = handler.Batches;
        await other.DisposeAsync();
        await handler.Told.Task.WaitAsync(Deadline);

        Assert.Equal([true, true], begun);
        Assert.Equal((false, 1), (toldAfterOne, batchesMeanwhile));
        handler.Hangs.SetResult();
        Assert.All(await Task.WhenAll(next), items => Assert.Equal(["1 of 1 among 2"], items));
        Assert.Equal(2, handler.Batches);
    }

    [Fact]
    public async Task Streaming_OverHttp_IsAStreamedBody()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:counts", app => app.AddStreamingBatch<int, string>(
            "Counts", _ => new Counts(), Two, fromHttp: static (request, _) => new(int.Parse(request.Query["n"].ToString(), System.Globalization.CultureInfo.InvariantCulture))));
        await using TestServer server = await TestServer.StartAsync(registry, new() { Applications = [new() { ImportPath = "test:counts" }] });

        string[] bodies = await Task.WhenAll(server.Client.GetStringAsync("/?n=2", Deadline), server.Client.GetStringAsync("/?n=1", Deadline));

        Assert.Equal(["1 of 2 among 22 of 2 among 2", "1 of 1 among 2"], bodies);
    }

    [Fact]
    public async Task Blocking_ABatch_RunsOnAThreadOfTheReplica()
    {
        await using ServeHost host = await StartAsync(app => app.AddBlockingBatch<int, string>("Threads", _ => new Threads(), Two));
        DeploymentHandle<int, string> threads = host.GetHandle<int, string>("app", "Threads");

        string[] answers = await Task.WhenAll(threads.CallAsync(1, Deadline).AsTask(), threads.CallAsync(2, Deadline).AsTask());

        Assert.StartsWith("1 on Threads ", answers[0], StringComparison.Ordinal);
        Assert.StartsWith("2 on Threads ", answers[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Blocking_HandlerThrows_GoesToEveryCallerAndTheNextBatchIsNotHarmed()
    {
        await using ServeHost host = await StartAsync(app => app.AddBlockingBatch<int, string>("Threads", _ => new Threads(), Two));
        DeploymentHandle<int, string> threads = host.GetHandle<int, string>("app", "Threads");
        Task<string>[] bad = [threads.CallAsync(-1, Deadline).AsTask(), threads.CallAsync(2, Deadline).AsTask()];

        foreach (Task<string> caller in bad)
        {
            await Assert.ThrowsAsync<InvalidDataException>(() => caller);
        }

        Assert.Equal(2, (await Task.WhenAll(threads.CallAsync(1, Deadline).AsTask(), threads.CallAsync(2, Deadline).AsTask())).Length);
    }

    [Fact]
    public async Task Container_MakesHandlersOfBatchesOfAllKinds()
    {
        await using ServeHost host = await StartAsync(
            app => app
                .AddBatch<Injected, int, string>("Batch", Two)
                .AddBlockingBatch<Injected, int, string>("Blocking", Two)
                .AddStreamingBatch<Injected, int, string>("Streaming", Two),
            services => services.AddSingleton(new Greeting("hello")));

        foreach (string deployment in (string[])["Batch", "Blocking"])
        {
            DeploymentHandle<int, string> handle = host.GetHandle<int, string>("app", deployment);
            Assert.Equal(["hello 1", "hello 2"], await Task.WhenAll(handle.CallAsync(1, Deadline).AsTask(), handle.CallAsync(2, Deadline).AsTask()));
        }

        DeploymentHandle<int, IAsyncEnumerable<string>> streaming = host.GetHandle<int, IAsyncEnumerable<string>>("app", "Streaming");
        Assert.Equal([["hello 1"], ["hello 2"]], await Task.WhenAll(ReadAsync(streaming, 1), ReadAsync(streaming, 2)));
    }

    [Fact]
    public async Task Batches_OfTwoDeploymentsWithOneHandler_HoldNobodyOfTheOther()
    {
        Lists handler = new();
        await using ServeHost host = await StartAsync(app => app.AddBatch<int, string>("Odd", _ => handler, Two).AddBatch<int, string>("Even", _ => handler, Two));
        DeploymentHandle<int, string> odd = host.GetHandle<int, string>("app", "Odd");
        DeploymentHandle<int, string> even = host.GetHandle<int, string>("app", "Even");

        string[] answers = await Task.WhenAll(odd.CallAsync(1, Deadline).AsTask(), even.CallAsync(2, Deadline).AsTask(), odd.CallAsync(3, Deadline).AsTask(), even.CallAsync(4, Deadline).AsTask());

        Assert.Equal(["1 of 1,3", "2 of 2,4", "3 of 1,3", "4 of 2,4"], answers);
    }

    private static async Task<ServeHost> StartAsync(Action<ApplicationBuilder> build, Action<IServiceCollection>? services = null)
    {
        ServeHost host = ServeHost.Create(
            serve =>
            {
                serve.WaitUntilRunning = true;
                serve.AddApplication("app", routePrefix: null, app =>
                {
                    app.Add<HttpRequest, string>("Front", _ => new Nothing());
                    build(app);
                });
            },
            services);
        await host.StartAsync(Deadline);
        return host;
    }

    private static DeploymentHandle<int, IAsyncEnumerable<string>> Handle(ServeHost host) => host.GetHandle<int, IAsyncEnumerable<string>>("app", "Counts");

    private static async Task<List<string>> ReadAsync(DeploymentHandle<int, IAsyncEnumerable<string>> handle, int request, List<string>? into = null)
    {
        into ??= [];
        await foreach (string item in handle.StreamAsync(request, Deadline))
        {
            into.Add(item);
        }

        return into;
    }

    private sealed record Greeting(string Word);

    private sealed class Nothing : IDeployment<HttpRequest, string>
    {
        public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => new("");
    }

    /// <summary>Counts up to what each caller asks for.</summary>
    private sealed class Counts : IStreamingBatchDeployment<int, string>
    {
        private int _batches;

        public int? ThrowsAfter { get; init; }

        public bool Forgets { get; init; }

        /// <summary>After the first step it waits for this, and for nothing but its token.</summary>
        public TaskCompletionSource? Hangs { get; init; }

        public TaskCompletionSource Told { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Batches => Volatile.Read(ref _batches);

        public async IAsyncEnumerable<IReadOnlyList<BatchStep<string>>> HandleBatchAsync(IReadOnlyList<int> batch, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _batches);
            for (int step = 1; ; step++)
            {
                await Task.Yield();
                yield return [.. batch.Select(count => step <= count ? $"{step} of {count} among {batch.Count}" : BatchStep<string>.End).Skip(Forgets ? 1 : 0)];
                if (step == ThrowsAfter)
                {
                    throw new InvalidDataException();
                }

                if (Hangs is { } hangs)
                {
                    try
                    {
                        await hangs.Task.WaitAsync(cancellationToken);
                    }
                    finally
                    {
                        Told.TrySetResult();
                    }
                }
            }
        }
    }

    /// <summary>Says who is in the batch.</summary>
    private sealed class Lists : IBatchDeployment<int, string>
    {
        public ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<int> batch, CancellationToken cancellationToken) => new([.. batch.Select(n => $"{n} of {string.Join(',', batch)}")]);
    }

    private sealed class Threads : IBlockingBatchDeployment<int, string>
    {
        public IReadOnlyList<string> HandleBatch(IReadOnlyList<int> batch, CancellationToken cancellationToken) =>
            batch.Any(n => n < 0) ? throw new InvalidDataException() : [.. batch.Select(n => $"{n} on {Thread.CurrentThread.Name}")];
    }

    private sealed class Injected(Greeting greeting) : IBatchDeployment<int, string>, IBlockingBatchDeployment<int, string>, IStreamingBatchDeployment<int, string>
    {
        public IReadOnlyList<string> HandleBatch(IReadOnlyList<int> batch, CancellationToken cancellationToken) => [.. batch.Select(n => $"{greeting.Word} {n}")];

        ValueTask<IReadOnlyList<string>> IBatchDeployment<int, string>.HandleBatchAsync(IReadOnlyList<int> batch, CancellationToken cancellationToken) => new(HandleBatch(batch, cancellationToken));

        async IAsyncEnumerable<IReadOnlyList<BatchStep<string>>> IStreamingBatchDeployment<int, string>.HandleBatchAsync(
            IReadOnlyList<int> batch, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.Yield();
            yield return [.. HandleBatch(batch, cancellationToken)];
        }
    }
}
