using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Replicas;

public sealed class ReplicaPermitsTests
{
    private readonly ReplicaPermits _permits = new();

    [Fact]
    public void New_HasNoPermit()
    {
        AssertState(limit: 0, issued: 0, ongoing: 0, free: 0);
        Assert.False(_permits.TryTake());
    }

    [Fact]
    public void TryTake_UpToTheLimit_ThenNot()
    {
        Assert.Equal(2, _permits.Resize(2));
        Assert.True(_permits.TryTake());
        Assert.True(_permits.TryTake());
        Assert.False(_permits.TryTake());
        AssertState(limit: 2, issued: 2, ongoing: 0, free: 0);
    }

    [Fact]
    public void Finish_AfterStart_ThePermitIsFreeAgain()
    {
        _permits.Resize(1);
        Start();
        AssertState(limit: 1, issued: 1, ongoing: 1, free: 0);
        Assert.True(_permits.Finish());
        AssertState(limit: 1, issued: 1, ongoing: 0, free: 1);
    }

    [Fact]
    public void Finish_NothingOngoing_ThrowsAndChangesNothing()
    {
        _permits.Resize(2);
        Start();
        _permits.Finish();
        Assert.Throws<InvalidOperationException>(() => _permits.Finish());
        AssertState(limit: 2, issued: 2, ongoing: 0, free: 2);
    }

    [Fact]
    public void Resize_Larger_AddsTheDifference()
    {
        _permits.Resize(2);
        Start();
        Assert.Equal(3, _permits.Resize(5));
        AssertState(limit: 5, issued: 5, ongoing: 1, free: 4);
    }

    [Fact]
    public void Resize_SmallerThanOngoing_DestroysPermitsAsTheyComeBack()
    {
        _permits.Resize(3);
        Start();
        Start();
        Start();
        Assert.Equal(0, _permits.Resize(1));
        AssertState(limit: 1, issued: 3, ongoing: 3, free: 0);
        Assert.False(_permits.Finish());
        Assert.False(_permits.Finish());
        AssertState(limit: 1, issued: 1, ongoing: 1, free: 0);
        Assert.True(_permits.Finish());
        AssertState(limit: 1, issued: 1, ongoing: 0, free: 1);
    }

    [Fact]
    public void Resize_LargerWhileTooManyAreOut_AddsOnlyWhatIsMissing()
    {
        _permits.Resize(4);
        Start();
        Start();
        Start();
        Start();
        _permits.Resize(1);
        Assert.Equal(0, _permits.Resize(3));
        AssertState(limit: 3, issued: 4, ongoing: 4, free: 0);
        Assert.Equal(2, _permits.Resize(6));
        AssertState(limit: 6, issued: 6, ongoing: 4, free: 2);
    }

    [Fact]
    public void TryStart_LimitShrankAfterTheTake_DestroysThePermit()
    {
        _permits.Resize(2);
        Start();
        Assert.True(_permits.TryTake());
        _permits.Resize(1);
        Assert.False(_permits.TryStart());
        AssertState(limit: 1, issued: 1, ongoing: 1, free: 0);
        Assert.True(_permits.Finish());
    }

    [Fact]
    public void TryStart_LimitShrankAndAnotherEnded_Starts()
    {
        _permits.Resize(2);
        Start();
        Assert.True(_permits.TryTake());
        _permits.Resize(1);
        Assert.False(_permits.Finish());
        Assert.True(_permits.TryStart());
        AssertState(limit: 1, issued: 1, ongoing: 1, free: 0);
    }

    [Fact]
    public void TryDestroyTaken_TooManyExist_IsGone()
    {
        _permits.Resize(2);
        _permits.Resize(1);
        Assert.True(_permits.TryTake());
        Assert.True(_permits.TryDestroyTaken());
        AssertState(limit: 1, issued: 1, ongoing: 0, free: 1);
    }

    [Fact]
    public void TryDestroyTaken_NoneTooMany_IsBackInTheSemaphore()
    {
        _permits.Resize(1);
        Assert.True(_permits.TryTake());
        Assert.False(_permits.TryDestroyTaken());
        AssertState(limit: 1, issued: 1, ongoing: 0, free: 1);
    }

    [Fact]
    public void Resize_OutOfRange_Throws()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _permits.Resize(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => _permits.Resize(ReplicaPermits.MaxLimit + 1));
        AssertState(limit: 0, issued: 0, ongoing: 0, free: 0);
    }

    [Fact]
    public void Resize_LargestLimit_TheCountsDoNotTouchEachOther()
    {
        Assert.Equal(ReplicaPermits.MaxLimit, _permits.Resize(ReplicaPermits.MaxLimit));
        Start();
        AssertState(limit: ReplicaPermits.MaxLimit, issued: ReplicaPermits.MaxLimit, ongoing: 1, free: ReplicaPermits.MaxLimit - 1);
        _permits.Resize(0);
        Assert.False(_permits.Finish());
        Assert.Equal((0, 0), (_permits.Limit, _permits.Ongoing));
    }

    /// <summary>Many take, start and end while the limit moves: at rest every permit is where it belongs.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(20261124)]
    public async Task AllMethods_FromManyThreads_NoPermitIsLostOrMade(int seed)
    {
        const int Threads = 3;
        const int Each = 100_000;
        int running = Threads;
        int above = 0;
        _permits.Resize(4);
        Task[] workers = [.. Enumerable.Range(0, Threads).Select(_ => Task.Factory.StartNew(
            () =>
            {
                for (int i = 0; i < Each; i++)
                {
                    if (_permits.TryTake() && _permits.TryStart())
                    {
                        if (_permits.Ongoing > 6)
                        {
                            Interlocked.Increment(ref above);
                        }

                        _permits.Finish();
                    }
                }

                Interlocked.Decrement(ref running);
            },
            TestContext.Current.CancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default))];
        SeededRandom random = new((ulong)seed);
        while (Volatile.Read(ref running) > 0)
        {
            _permits.Resize(random.Next(7));
            while (_permits.Issued > _permits.Limit && _permits.TryTake() && _permits.TryDestroyTaken())
            {
            }

            Thread.Yield();
        }

        await Task.WhenAll(workers);
        _permits.Resize(6);

        AssertState(limit: 6, issued: 6, ongoing: 0, free: 6);
        Assert.Equal(0, above);
    }

    private void Start() => Assert.True(_permits.TryTake() && _permits.TryStart());

    private void AssertState(int limit, int issued, int ongoing, int free) =>
        Assert.Equal((limit, issued, ongoing, free), (_permits.Limit, _permits.Issued, _permits.Ongoing, _permits.Free));
}
