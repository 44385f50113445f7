using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Handles;

public sealed class WaiterTests
{
    private readonly TestGate _test = new();

    [Theory]
    [InlineData((int)WaitEnd.Cancelled)]
    [InlineData((int)WaitEnd.TimedOut)]
    [InlineData((int)WaitEnd.QueueTimedOut)]
    [InlineData((int)WaitEnd.Unavailable)]
    public async Task TryLeave_FirstReason_IsTheEnd(int reason)
    {
        Waiter waiter = _test.Wait(_test.Gate.AddHandle(1));
        ValueTask<WaitEnd> ended = waiter.Ended;
        Assert.True(waiter.TryLeave((WaitEnd)reason));
        Assert.False(waiter.TryLeave(WaitEnd.Cancelled));
        Assert.False(waiter.TryGrant(_test.NewReplica(), 1));
        Assert.False(ended.IsCompleted);

        Assert.Equal(1, _test.Resumed);
        _test.RunResumed();

        Assert.Equal((WaitEnd)reason, await ended);
    }

    [Fact]
    public async Task TryGrant_Waiting_CarriesTheLease()
    {
        Handle handle = _test.Gate.AddHandle(1);
        Waiter waiter = _test.Wait(handle);
        Task<WaitEnd> ended = waiter.Ended.AsTask();

        Replica replica = _test.AddReplica(1);

        Assert.False(waiter.IsWaiting);
        Assert.False(ended.IsCompleted);
        _test.RunResumed();
        Assert.Equal(WaitEnd.Granted, await ended);
        Assert.Same(replica, waiter.Lease.Replica);
        Assert.Same(handle, waiter.Lease.Handle);
    }

    /// <summary>Grant and departure at the same instant: one of them wins, and the counts follow the winner.</summary>
    [Fact]
    public void TryGrant_RacesWithTryLeave_ExactlyOneWins()
    {
        Handle handle = _test.Gate.AddHandle(1);
        Replica replica = _test.AddReplica(1);
        using Barrier barrier = new(2);
        Waiter? waiter = null;
        bool left = false;
        const int Rounds = 5000;
        Thread leaver = new(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                barrier.SignalAndWait();
                left = waiter!.TryLeave(WaitEnd.Cancelled);
                barrier.SignalAndWait();
            }
        });
        leaver.Start();
        int granted = 0;
        List<string> wrong = [];
        for (int i = 0; i < Rounds; i++)
        {
            RequestLease lease = _test.Run(handle);
            waiter = _test.Wait(handle);
            barrier.SignalAndWait(TestContext.Current.CancellationToken);
            lease.End(RequestEnd.Completed);
            barrier.SignalAndWait(TestContext.Current.CancellationToken);
            if (_test.Resumed != 1)
            {
                wrong.Add($"round {i}: resumed {_test.Resumed} times");
            }

            _test.RunResumed();
            WaitEnd? end = TestGate.EndOf(waiter);
            if (end != (left ? WaitEnd.Cancelled : WaitEnd.Granted))
            {
                wrong.Add($"round {i}: left = {left}, ended {end}");
            }

            if (!left)
            {
                granted++;
                waiter.Lease.End(RequestEnd.Completed);
            }

            if (_test.Gate.Free != 1 || replica.Permits.Free != 1 || handle.Queued != 0 || _test.Gate.Waiting != 0)
            {
                wrong.Add($"round {i}: free {_test.Gate.Free}, queued {handle.Queued}");
            }
        }

        leaver.Join();
        Assert.Empty(wrong);
        Assert.Equal(Rounds - granted, handle.Counts.Cancelled);
        Assert.Equal(Rounds + granted, handle.Counts.Completed);
    }
}
