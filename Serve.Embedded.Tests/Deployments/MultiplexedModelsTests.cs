using System.Collections.Concurrent;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Deployments;

public sealed class MultiplexedModelsTests
{
    private readonly ConcurrentQueue<string> _happened = new();
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _slow = new();
    private readonly ConcurrentDictionary<string, Exception> _failures = new();
    private int _inMemory;
    private int _mostInMemory;

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task GetAsync_AHit_LoadsNothing()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 3);
        Model first = await UseAsync(models, "a");
        Assert.Same(first, await UseAsync(models, "a"));
        Assert.Equal(["load a"], _happened);
        Assert.Equal(["a"], models.ModelIds);
    }

    [Fact]
    [ContractRow(43)]
    public async Task GetAsync_OneTooMany_TheLeastRecentlyUsedIsUnloadedFirst()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 2);
        await UseAsync(models, "a");
        await UseAsync(models, "b");
        await UseAsync(models, "a");

        await UseAsync(models, "c");

        Assert.Equal(["load a", "load b", "unload b", "load c"], _happened);
        Assert.Equal(["a", "c"], models.ModelIds.Order(StringComparer.Ordinal));
        Assert.Equal(2, _mostInMemory);
    }

    /// <summary>Ray Serve advertises so: routing must not send anybody to a model that is on its way out.</summary>
    [Fact]
    public async Task Holds_WhileTheNewOneLoads_TheNewOneIsThereAndTheOldOneIsNot()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        IModelHolder holder = models;
        await UseAsync(models, "a");
        TaskCompletionSource loads = Slow("b");

        Task<Model> b = UseAsync(models, "b");

        Assert.Equal((false, true, 1), (holder.Holds("a"), holder.Holds("b"), holder.Count));
        loads.SetResult();
        await b.WaitAsync(TestEnds);
    }

    [Fact]
    [ContractRow(43)]
    public async Task GetAsync_DifferentModels_DoNotWaitForEachOther()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 3);
        TaskCompletionSource loads = Slow("slow");
        Task<Model> slow = UseAsync(models, "slow");

        Assert.Equal("fast", (await UseAsync(models, "fast").WaitAsync(TestEnds)).Id);

        Assert.False(slow.IsCompleted);
        loads.SetResult();
        await slow.WaitAsync(TestEnds);
    }

    [Fact]
    public async Task GetAsync_SameModelAtTheSameTime_IsLoadedOnce()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        TaskCompletionSource loads = Slow("a");
        Task<Model>[] all = [.. Enumerable.Range(0, 5).Select(_ => UseAsync(models, "a"))];
        loads.SetResult();

        Model[] got = await Task.WhenAll(all).WaitAsync(TestEnds);

        Assert.Single(got.Distinct());
        Assert.Equal(["load a"], _happened);
    }

    [Fact]
    public async Task GetAsync_AllInUse_WaitsUntilOneIsNot()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        ModelLease<Model> a = await models.GetAsync("a", TestEnds);
        Task<Model> b = UseAsync(models, "b");
        Assert.Equal(["load a"], _happened);

        a.Dispose();
        a.Dispose();

        await b.WaitAsync(TestEnds);
        Assert.Equal(["load a", "unload a", "load b"], _happened);
        Assert.Equal(1, _mostInMemory);
    }

    /// <summary>Nobody waits for what is loading, so that it must be able to make room by itself once it is loaded.</summary>
    [Fact]
    public async Task GetAsync_CallerLeavesALoad_ItGoesOnAndCanMakeRoom()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        TaskCompletionSource loads = Slow("a");
        using CancellationTokenSource leaves = new();
        Task<ModelLease<Model>> a = models.GetAsync("a", leaves.Token).AsTask();
        await leaves.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => a.WaitAsync(TestEnds));
        Task<Model> b = UseAsync(models, "b");
        Assert.False(b.IsCompleted);

        loads.SetResult();

        await b.WaitAsync(TestEnds);
        Assert.Equal(["load a", "unload a", "load b"], _happened);
    }

    [Fact]
    public async Task GetAsync_CallerLeavesWhileItWaitsForRoom_NothingIsKept()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        ModelLease<Model> a = await models.GetAsync("a", TestEnds);
        using CancellationTokenSource leaves = new();
        Task<ModelLease<Model>> b = models.GetAsync("b", leaves.Token).AsTask();

        await leaves.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => b.WaitAsync(TestEnds));
        a.Dispose();
        await UseAsync(models, "c");
        Assert.Equal(["load a", "unload a", "load c"], _happened);
    }

    [Fact]
    public async Task GetAsync_LoadFails_AllWhoAskedAreToldAndTheNextLoadsAnew()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        InvalidDataException error = new("bad file");
        _failures["a"] = error;
        TaskCompletionSource loads = Slow("a");
        Task<Model>[] both = [UseAsync(models, "a"), UseAsync(models, "a")];
        loads.SetResult();
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(() => both[0].WaitAsync(TestEnds)));
        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(() => both[1].WaitAsync(TestEnds)));
        Assert.Empty(models.ModelIds);

        _failures.Clear();
        Assert.Equal("a", (await UseAsync(models, "a").WaitAsync(TestEnds)).Id);
    }

    [Fact]
    public async Task GetAsync_UnloadFails_IsToldToWhoNeededTheRoom()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        InvalidDataException error = new("stuck");
        (await UseAsync(models, "a")).Failure = error;

        Assert.Same(error, await Assert.ThrowsAsync<InvalidDataException>(() => UseAsync(models, "b").WaitAsync(TestEnds)));

        Assert.Equal("b", (await UseAsync(models, "b").WaitAsync(TestEnds)).Id);
    }

    [Fact]
    public async Task GetAsync_NoLimit_UnloadsNothing()
    {
        MultiplexedModels<Model> models = new(LoadAsync, -1);
        for (int i = 0; i < 20; i++)
        {
            await UseAsync(models, $"m{i}");
        }

        Assert.Equal(20, models.ModelIds.Count);
    }

    [Fact]
    public async Task GetAsync_EmptyId_IsRefused()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 1);
        await Assert.ThrowsAsync<ArgumentException>(async () => await models.GetAsync("", TestEnds));
        await Assert.ThrowsAsync<ArgumentNullException>(async () => await models.GetAsync(null!, TestEnds));
    }

    [Fact]
    public async Task Dispose_UnloadsAll_AndWhoComesOrWaitsIsTold()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 2);
        await UseAsync(models, "a");
        ModelLease<Model> held = await models.GetAsync("b", TestEnds);
        ModelLease<Model> alsoHeld = await models.GetAsync("a", TestEnds);
        Task<Model> waits = UseAsync(models, "c");

        await models.DisposeAsync();
        await models.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => waits.WaitAsync(TestEnds));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await models.GetAsync("a", TestEnds));
        Assert.Equal(0, _inMemory);
        held.Dispose();
        alsoHeld.Dispose();
    }

    [Fact]
    public async Task Dispose_OneFailsToUnload_TheOthersAreUnloaded()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 3);
        (await UseAsync(models, "a")).Failure = new InvalidDataException("stuck");
        await UseAsync(models, "b");

        AggregateException failed = await Assert.ThrowsAsync<AggregateException>(async () => await models.DisposeAsync());

        Assert.IsType<InvalidDataException>(Assert.Single(failed.InnerExceptions));
        Assert.Contains("unload b", _happened);
    }

    /// <summary>Many callers, few rooms: never more models in memory than the most, and every caller gets its own.</summary>
    [Fact]
    [ContractRow(43)]
    public async Task GetAsync_ManyAtOnce_NeverExceedsTheMost()
    {
        MultiplexedModels<Model> models = new(LoadAsync, 3);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(
            async () =>
            {
                SeededRandom random = new((ulong)worker);
                for (int i = 0; i < 300; i++)
                {
                    string id = $"m{random.Next(7)}";
                    using ModelLease<Model> lease = await models.GetAsync(id, TestEnds);
                    Assert.Equal((id, false), (lease.Model.Id, lease.Model.IsUnloaded));
                    if (random.Next(3) == 0)
                    {
                        await Task.Yield();
                        Assert.False(lease.Model.IsUnloaded);
                    }
                }
            },
            TestEnds))).WaitAsync(TestEnds);

        Assert.InRange(_mostInMemory, 1, 3);
        await models.DisposeAsync();
        Assert.Equal(0, _inMemory);
    }

    private static async Task<Model> UseAsync(MultiplexedModels<Model> models, string id)
    {
        using ModelLease<Model> lease = await models.GetAsync(id, TestEnds);
        Assert.Equal(id, lease.ModelId);
        return lease.Model;
    }

    private TaskCompletionSource Slow(string id) => _slow[id] = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async ValueTask<Model> LoadAsync(string id, CancellationToken cancellationToken)
    {
        int now = Interlocked.Increment(ref _inMemory);
        int most = Volatile.Read(ref _mostInMemory);
        while (now > most && Interlocked.CompareExchange(ref _mostInMemory, now, most) is int seen && seen != most)
        {
            most = seen;
        }

        try
        {
            if (_slow.TryGetValue(id, out TaskCompletionSource? slow))
            {
                await slow.Task.WaitAsync(cancellationToken);
            }

            if (_failures.TryGetValue(id, out Exception? failure))
            {
                throw failure;
            }
        }
        catch
        {
            Interlocked.Decrement(ref _inMemory);
            throw;
        }

        _happened.Enqueue($"load {id}");
        return new(id, this);
    }

    private sealed class Model(string id, MultiplexedModelsTests test) : IDisposable
    {
        public string Id => id;

        public bool IsUnloaded { get; private set; }

        public Exception? Failure { get; set; }

        public void Dispose()
        {
            IsUnloaded = true;
            test._happened.Enqueue($"unload {id}");
            Interlocked.Decrement(ref test._inMemory);
            if (Failure is not null)
            {
                throw Failure;
            }
        }
    }
}
