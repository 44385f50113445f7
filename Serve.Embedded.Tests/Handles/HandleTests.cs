using Serve.Embedded.Handles;

namespace Serve.Embedded.Tests.Handles;

public sealed class HandleTests
{
    private readonly TestGate _test = new();

    [Theory]
    [InlineData(-1, DeploymentOptions.UnlimitedQueueCap)]
    [InlineData(0, 0)]
    [InlineData(7, 7)]
    [InlineData(int.MaxValue, int.MaxValue)]
    public void MaxQueued_Value_IsTheBound(int written, int bound)
    {
        Handle handle = _test.Gate.AddHandle(written);
        Assert.Equal(bound, handle.MaxQueued);
        handle.MaxQueued = 3;
        Assert.Equal(3, handle.MaxQueued);
        handle.MaxQueued = written;
        Assert.Equal(bound, handle.MaxQueued);
        Assert.Equal(0, handle.Queued);
    }

    [Fact]
    public void TryReserve_UpToTheLimit_ThenNot()
    {
        Handle handle = _test.Gate.AddHandle(2);
        Assert.True(handle.TryReserve(out int queued));
        Assert.Equal(0, queued);
        Assert.True(handle.TryReserve(out queued));
        Assert.Equal(1, queued);
        Assert.False(handle.TryReserve(out queued));
        Assert.Equal(2, queued);
        handle.ReleasePlace();
        Assert.True(handle.TryReserve(out _));
        Assert.Equal(2, handle.Queued);
    }

    [Fact]
    public void TryReserve_LimitFellBelowThoseWhoWait_NotUntilEnoughHaveLeft()
    {
        Handle handle = _test.Gate.AddHandle(3);
        Assert.True(handle.TryReserve(out _) && handle.TryReserve(out _) && handle.TryReserve(out _));
        handle.MaxQueued = 1;
        Assert.Equal(3, handle.Queued);
        handle.ReleasePlace();
        handle.ReleasePlace();
        Assert.False(handle.TryReserve(out _));
        handle.ReleasePlace();
        Assert.True(handle.TryReserve(out _));
        Assert.Equal(1, handle.Queued);
    }

    [Fact]
    public void Close_WithPlacesTaken_LetsNobodyInAndIsSpentWhenTheyHaveGone()
    {
        Handle handle = _test.Gate.AddHandle(2);
        Assert.True(handle.TryReserve(out _));
        Assert.False(handle.IsClosed);

        handle.Close();

        Assert.True(handle.IsClosed);
        Assert.False(handle.IsSpent);
        handle.MaxQueued = 100;
        Assert.False(handle.TryReserve(out _));
        Assert.False(handle.TryReserveAgain());
        Assert.Equal(1, handle.Queued);
        handle.ReleasePlace();
        Assert.True(handle.IsSpent);
    }

    /// <summary>While two threads reserve and leave, the limit goes up and down: no look ever finds more than the larger, and after a fall no more than the smaller.</summary>
    [Fact]
    public async Task TryReserve_LimitMovesMeanwhile_NeverAboveTheLimitInForce()
    {
        Handle handle = _test.Gate.AddHandle(1);
        bool stop = false;
        Task[] arrivals = [Arrive(), Arrive(), Arrive()];
        for (int round = 0; round < 20_000; round++)
        {
            handle.MaxQueued = 3;
            handle.MaxQueued = 1;

            // Who is above the new limit must go; from then on nobody may be let in by the old one.
            SpinWait spin = default;
            while (handle.Queued > 1)
            {
                spin.SpinOnce(sleep1Threshold: -1);
            }

            for (int look = 0; look < 20; look++)
            {
                Assert.InRange(handle.Queued, 0, 1);
            }
        }

        Volatile.Write(ref stop, true);
        await Task.WhenAll(arrivals);
        Assert.Equal(0, handle.Queued);

        Task Arrive() => Task.Factory.StartNew(
            () =>
            {
                while (!Volatile.Read(ref stop))
                {
                    if (handle.TryReserve(out _))
                    {
                        handle.ReleasePlace();
                    }
                }
            },
            TestContext.Current.CancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
    }

    /// <summary>More arrivals than the channel has slots, and nobody to drain it for them.</summary>
    [Fact]
    public void Publish_MoreThanTheChannelHolds_KeepsAllInOrder()
    {
        Handle handle = _test.Gate.AddHandle(2);
        handle.MaxQueued = 5000;
        Waiter[] waiters = [.. Enumerable.Range(0, 5000).Select(_ => _test.Wait(handle))];

        Assert.True(handle.HasWaiterUnsynchronized());
        foreach (Waiter waiter in waiters)
        {
            Assert.Same(waiter, handle.TakeFirstUnsynchronized());
        }

        Assert.Null(handle.TakeFirstUnsynchronized());
    }

    /// <summary>Behind a living waiter, and in front of one, those who left go as soon as they outnumber those who wait by a constant.</summary>
    [Fact]
    public void Left_ManyLeave_AreSweptAndTheOthersKeepTheirOrder()
    {
        Handle handle = _test.Gate.AddHandle(5000);
        List<Waiter> kept = [];
        List<WeakReference> left = [];
        for (int i = 0; i < 3000; i++)
        {
            if (i % 300 == 5)
            {
                kept.Add(_test.Wait(handle));
            }

            Leave(handle, left);
        }

        GC.Collect();
        Assert.InRange(left.Count(l => l.IsAlive), 0, (2 * kept.Count) + 100);
        Assert.True(handle.HasWaiterUnsynchronized());
        Assert.Equal(kept, Enumerable.Range(0, kept.Count).Select(_ => Next(handle)));

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        void Leave(Handle from, List<WeakReference> to)
        {
            Waiter waiter = _test.Wait(from);
            to.Add(new(waiter));
            waiter.TryLeave(WaitEnd.Cancelled);
            _test.RunResumed();
        }

        static Waiter? Next(Handle from)
        {
            Waiter? waiter = from.TakeFirstUnsynchronized();
            while (waiter is { IsWaiting: false })
            {
                waiter = from.TakeFirstUnsynchronized();
            }

            return waiter;
        }
    }
}
