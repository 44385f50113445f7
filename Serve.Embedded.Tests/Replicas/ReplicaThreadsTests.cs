using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Replicas;

public sealed class ReplicaThreadsTests : IDisposable
{
    private readonly ManualTimeProvider _clock = new();
    private readonly ReplicaThreads _threads;
    private readonly ManualResetEventSlim _gate = new();

    public ReplicaThreadsTests() => _threads = new("D r1", _clock);

    public void Dispose()
    {
        _gate.Set();
        _threads.Dispose();
        _gate.Dispose();
    }

    [Fact]
    public void New_HasNoThreadAndNoTimer()
    {
        Assert.Equal(0, _threads.Count);
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public async Task RunAsync_Result_ComesFromABackgroundThreadOfThatName()
    {
        (string? name, bool background, bool pool) = await BlockingCall<(string?, bool, bool)>.RunAsync(
            _threads,
            () => (Thread.CurrentThread.Name, Thread.CurrentThread.IsBackground, Thread.CurrentThread.IsThreadPoolThread));

        Assert.Equal("D r1", name);
        Assert.True(background);
        Assert.False(pool);
    }

    [Fact]
    public async Task RunAsync_Awaited_GoesOnElsewhere()
    {
        int inside = await BlockingCall<int>.RunAsync(_threads, () => Environment.CurrentManagedThreadId);
        Assert.NotEqual("D r1", Thread.CurrentThread.Name);
        Assert.NotEqual(inside, Environment.CurrentManagedThreadId);
    }

    [Fact]
    public async Task RunAsync_HandlerThrows_TheCallerGetsItAndTheThreadGoesOn()
    {
        InvalidDataException thrown = new("bad model");
        Exception caught = await Assert.ThrowsAsync<InvalidDataException>(
            async () => await BlockingCall<int>.RunAsync(_threads, () => throw thrown));
        Assert.Same(thrown, caught);
        Assert.Equal(7, await BlockingCall<int>.RunAsync(_threads, () => 7));
        Assert.Equal(1, _threads.Count);
    }

    [Fact]
    public async Task RunAsync_Several_EachHasAThreadAndTheyAreUsedAgain()
    {
        Task<int>[] calls = [Blocked(), Blocked(), Blocked()];
        Assert.Equal(3, _threads.Count);
        _gate.Set();
        Assert.Equal(3, (await Task.WhenAll(calls)).Distinct().Count());

        _gate.Reset();
        Task<int>[] again = [Blocked(), Blocked(), Blocked()];
        _gate.Set();

        Assert.Equal((await Task.WhenAll(calls)).Order(), (await Task.WhenAll(again)).Order());
        Assert.Equal(3, _threads.Count);
    }

    [Fact]
    public async Task RunAsync_OneAfterTheOther_OneThreadIsEnough()
    {
        for (int i = 0; i < 2_000; i++)
        {
            Assert.Equal(i, await BlockingCall<int>.RunAsync(_threads, () => i));
            Assert.Equal(1, _threads.Count);
        }
    }

    /// <summary>
    /// A caller whose call has ended gives its permit to the next at once. Here the next comes while the first is being told: its thread must be idle by then,
    /// or the next would be given a new one, beyond the limit.
    /// </summary>
    [Fact]
    public async Task Run_WhileACallCompletes_UsesTheSameThread()
    {
        TaskCompletionSource<int> count = new();
        _threads.Run(new Work(() =>
        {
            _threads.Run(new Work(() => count.SetResult(_threads.Count)));
        }));

        Assert.Equal(1, await count.Task.WaitAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task RunAsync_AmbientContext_FlowsInAndNotIntoTheNext()
    {
        AsyncLocal<string?> ambient = new() { Value = "first" };
        Assert.Equal("first", await BlockingCall<string?>.RunAsync(_threads, () => ambient.Value));
        ambient.Value = null;
        Assert.Null(await BlockingCall<string?>.RunAsync(_threads, () => ambient.Value));
        ValueTask<string?> unflowed;
        ambient.Value = "hidden";
        using (ExecutionContext.SuppressFlow())
        {
            unflowed = BlockingCall<string?>.RunAsync(_threads, () => ambient.Value);
        }

        Assert.Null(await unflowed);
    }

    [Fact]
    public async Task Advance_IdleLongEnough_ThreadsAreReleasedAndTheTimerRests()
    {
        Task<int>[] calls = [Blocked(), Blocked()];
        _gate.Set();
        await Task.WhenAll(calls);

        _clock.Advance(ReplicaThreads.IdleTime - TimeSpan.FromTicks(1));
        Assert.Equal(2, _threads.Count);
        _clock.Advance(TimeSpan.FromTicks(1));

        Assert.Equal(0, _threads.Count);
        Assert.Equal(0, _clock.ArmedTimers);
        Assert.Equal(1, await BlockingCall<int>.RunAsync(_threads, () => 1));
        Assert.Equal(1, _threads.Count);
        Assert.Equal(1, _clock.ArmedTimers);
    }

    [Fact]
    public async Task Advance_OneIsUsedAndOneIsNot_TheUnusedGoes()
    {
        Task<int>[] calls = [Blocked(), Blocked()];
        _gate.Set();
        await Task.WhenAll(calls);
        _clock.Advance(ReplicaThreads.IdleTime / 2);
        int used = await Blocked();

        _clock.Advance(ReplicaThreads.IdleTime / 2);

        Assert.Equal(1, _threads.Count);
        Assert.Equal(used, await Blocked());
    }

    [Fact]
    public async Task Advance_Busy_IsNotReleased()
    {
        Task<int> call = Blocked();
        _clock.Advance(10 * ReplicaThreads.IdleTime);
        Assert.Equal(1, _threads.Count);
        _gate.Set();
        await call;
    }

    [Fact]
    public async Task Dispose_WhileBusy_TheCallEndsAndThenItsThread()
    {
        Task<int> busy = Blocked();
        _threads.Dispose();
        Assert.Equal(1, _threads.Count);
        Assert.Equal(0, _clock.ArmedTimers);

        _gate.Set();
        await busy;

        Assert.Equal(0, _threads.Count);
    }

    [Fact]
    public async Task Dispose_WhileIdle_ThreadsGoAtOnceAndALateCallStillRuns()
    {
        await BlockingCall<int>.RunAsync(_threads, () => 1);
        _threads.Dispose();
        Assert.Equal(0, _threads.Count);

        Assert.Equal(2, await BlockingCall<int>.RunAsync(_threads, () => 2));

        Assert.Equal(0, _threads.Count);
    }

    private Task<int> Blocked() => BlockingCall<int>.RunAsync(
        _threads,
        () =>
        {
            _gate.Wait(TestContext.Current.CancellationToken);
            return Environment.CurrentManagedThreadId;
        }).AsTask();

    private sealed class Work(Action complete) : IBlockingWork
    {
        public void Execute()
        {
        }

        public void Complete() => complete();
    }
}
