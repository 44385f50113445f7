using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Handles;

/// <summary>The decisions one by one, on one thread, with continuations in the test's hand.</summary>
public sealed class AdmissionGateTests
{
    private readonly TestGate _test = new();

    private AdmissionGate Gate => _test.Gate;

    [Fact]
    [ContractRow(1)]
    public void Admit_OneRunsAndOneWaits_TheNextTenAreRefusedAndBothEnd()
    {
        Handle handle = Gate.AddHandle(1);
        _test.AddReplica(1);
        RequestLease first = _test.Run(handle);
        Waiter second = _test.Wait(handle);

        for (int i = 0; i < 10; i++)
        {
            _test.Refused(handle, 1);
        }

        first.End(RequestEnd.Completed);
        _test.RunResumed();
        Assert.Equal(WaitEnd.Granted, TestGate.EndOf(second));
        second.Lease.End(RequestEnd.Completed);
        AssertCounts(handle, arrived: 12, started: 2, shed: 10, completed: 2);
        Assert.Equal(1, Gate.Free);
    }

    [Fact]
    [ContractRow(7)]
    public void Admit_NoLimitOnTheQueue_AHundredWaitAndAllRun()
    {
        Handle handle = Gate.AddHandle(-1);
        Waiter[] waiters = Waiting(handle, 100);
        Assert.Equal(100, handle.Queued);

        _test.AddReplica(100);

        _test.RunResumed();
        Assert.All(waiters, w => Assert.Equal(WaitEnd.Granted, TestGate.EndOf(w)));
        AssertCounts(handle, arrived: 100, started: 100);
    }

    [Fact]
    [ContractRow(8)]
    public void Admit_QueueIsFull_AfterOneIsRoutedExactlyOneMoreIsLetIn()
    {
        Handle handle = Gate.AddHandle(5);
        Waiter[] waiters = Waiting(handle, 5);
        for (int i = 0; i < 10; i++)
        {
            _test.Refused(handle, 5);
        }

        Replica replica = _test.AddReplica(1);
        Waiter last = _test.Wait(handle);
        _test.Refused(handle, 5);

        foreach (Waiter waiter in waiters.Append(last))
        {
            _test.RunResumed();
            Assert.Equal(WaitEnd.Granted, TestGate.EndOf(waiter));
            waiter.Lease.End(RequestEnd.Completed);
        }

        Assert.Equal(0, replica.Permits.Ongoing);
        AssertCounts(handle, arrived: 17, started: 6, shed: 11, completed: 6);
    }

    [Fact]
    [ContractRow(9)]
    public void MaxQueued_RaisedAndLowered_EvictsNobodyAndHoldsAtOnce()
    {
        Handle handle = Gate.AddHandle(5);
        List<Waiter> waiters = [.. Waiting(handle, 5)];
        RefusedTenTimes(5);

        handle.MaxQueued = 10;
        waiters.AddRange(Waiting(handle, 5));
        RefusedTenTimes(10);

        handle.MaxQueued = 5;
        RefusedTenTimes(10);
        Replica replica = _test.AddReplica(5);
        Assert.Equal(5, handle.Queued);
        RefusedTenTimes(5);

        Gate.Resize(replica, 10);
        _test.RunResumed();
        Assert.All(waiters, w => Assert.Equal(WaitEnd.Granted, TestGate.EndOf(w)));

        void RefusedTenTimes(int queued)
        {
            for (int i = 0; i < 10; i++)
            {
                _test.Refused(handle, queued);
            }
        }
    }

    [Fact]
    [ContractRow(13)]
    public void AddReplica_SomebodyWaitedForTheFirst_GoesToIt()
    {
        Handle handle = Gate.AddHandle(10);
        Waiter waiter = _test.Wait(handle);
        _test.RunResumed();
        Assert.Null(TestGate.EndOf(waiter));

        Replica replica = _test.AddReplica(1);

        _test.RunResumed();
        Assert.Equal(WaitEnd.Granted, TestGate.EndOf(waiter));
        Assert.Same(replica, waiter.Lease.Replica);
    }

    [Fact]
    [ContractRow(15)]
    public void Release_SomebodyWaits_IsPassedOnWithoutAPoke()
    {
        Handle handle = Gate.AddHandle(10);
        Replica full = _test.AddReplica(1);
        RequestLease running = _test.Run(handle);
        Waiter first = _test.Wait(handle);
        Waiter second = _test.Wait(handle);
        Assert.Equal(0, _test.Resumed);

        running.End(RequestEnd.Failed);
        Assert.False(first.IsWaiting);
        Assert.Same(full, first.Lease.Replica);
        Assert.True(second.IsWaiting);

        Replica joined = _test.AddReplica(1);
        Assert.False(second.IsWaiting);
        Assert.Same(joined, second.Lease.Replica);
    }

    [Fact]
    [ContractRow(16)]
    public void Release_OneAtATime_GrantsInTheOrderOfArrival()
    {
        Handle handle = Gate.AddHandle(100);
        _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        Waiter[] waiters = Waiting(handle, 10);

        for (int i = 0; i < waiters.Length; i++)
        {
            lease.End(RequestEnd.Completed);
            Assert.Equal(waiters.Length - 1 - i, waiters.Count(w => w.IsWaiting));
            Assert.False(waiters[i].IsWaiting);
            lease = waiters[i].Lease;
        }
    }

    /// <summary>Between the two, another one can still come before it. Who is shown that it waits sends the next one and counts on its being behind.</summary>
    [Fact]
    public void InOrder_APlaceIsTakenAndNotFilledYet_DoesNotCountIt()
    {
        Handle handle = Gate.AddHandle(2);
        _test.AddReplica(1);
        _test.Run(handle);

        Assert.True(handle.TryReserve(out _));

        Assert.Equal((1, 0, 0), (handle.Queued, handle.InOrder, Gate.InOrder));
        handle.Publish(new(handle));
        Assert.Equal((1, 1, 1), (handle.Queued, handle.InOrder, Gate.InOrder));
    }

    /// <summary>Its memory is not free yet, but it must not stand for one who is not in order.</summary>
    [Fact]
    public void InOrder_OneHasLeftAndAPlaceIsNotFilledYet_CountsNeither()
    {
        Handle handle = Gate.AddHandle(2);
        _test.AddReplica(1);
        _test.Run(handle);
        Waiter leaves = _test.Wait(handle);
        Assert.True(leaves.TryLeave(WaitEnd.Cancelled));

        Assert.True(handle.TryReserve(out _));

        Assert.Equal((1, 0), (handle.Queued, handle.InOrder));
        handle.Publish(new(handle));
        Assert.Equal((1, 1), (handle.Queued, handle.InOrder));
    }

    [Fact]
    [ContractRow(17)]
    public void TryLeave_WhileItWaits_ThePlaceIsFreeAndTheNextIsServed()
    {
        Handle handle = Gate.AddHandle(2);
        Replica replica = _test.AddReplica(1);
        RequestLease running = _test.Run(handle);
        Waiter leaves = _test.Wait(handle);
        Waiter stays = _test.Wait(handle);
        _test.Refused(handle, 2);

        Assert.True(leaves.TryLeave(WaitEnd.Cancelled));
        Assert.False(leaves.TryLeave(WaitEnd.TimedOut));

        Assert.Equal(1, handle.Queued);
        Assert.Equal(1, Gate.Waiting);
        Waiter comes = _test.Wait(handle);
        running.End(RequestEnd.Completed);
        stays.Lease.End(RequestEnd.Completed);
        comes.Lease.End(RequestEnd.Completed);
        _test.RunResumed();
        Assert.Equal(WaitEnd.Cancelled, TestGate.EndOf(leaves));
        Assert.Equal(0, replica.Permits.Ongoing);
        Assert.Equal(0, Gate.Waiting);
        AssertCounts(handle, arrived: 5, started: 3, shed: 1, completed: 3, cancelled: 1);
    }

    [Fact]
    public void TryLeave_AfterTheGrant_ChangesNothing()
    {
        Handle handle = Gate.AddHandle(2);
        _test.AddReplica(1);
        RequestLease running = _test.Run(handle);
        Waiter waiter = _test.Wait(handle);
        running.End(RequestEnd.Completed);

        Assert.False(waiter.TryLeave(WaitEnd.Cancelled));

        _test.RunResumed();
        Assert.Equal(WaitEnd.Granted, TestGate.EndOf(waiter));
        AssertCounts(handle, arrived: 2, started: 2, completed: 1);
    }

    [Fact]
    public void Release_EverybodyHasLeft_ThePermitIsFree()
    {
        Handle handle = Gate.AddHandle(50);
        _test.AddReplica(1);
        RequestLease running = _test.Run(handle);
        foreach (Waiter waiter in Waiting(handle, 10))
        {
            waiter.TryLeave(WaitEnd.TimedOut);
        }

        running.End(RequestEnd.Completed);

        Assert.Equal(1, Gate.Free);
        AssertCounts(handle, arrived: 11, started: 1, completed: 1, timedOut: 10);
        _test.Run(handle);
    }

    [Fact]
    public void Admit_MaxQueuedIsZero_RunsOrRefuses()
    {
        Handle handle = Gate.AddHandle(0);
        _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        _test.Refused(handle, 0);
        lease.End(RequestEnd.Completed);
        _test.Run(handle);
    }

    [Fact]
    public void Release_SeveralHandlesWait_TheyTakeTurns()
    {
        Handle[] handles = [Gate.AddHandle(10), Gate.AddHandle(10), Gate.AddHandle(10)];
        _test.AddReplica(1);
        RequestLease lease = _test.Run(handles[0]);
        Waiter[][] waiters = [Waiting(handles[0], 4), Waiting(handles[1], 1), Waiting(handles[2], 2)];
        List<int> order = [];

        for (int i = 0; i < 7; i++)
        {
            lease.End(RequestEnd.Completed);
            _test.RunResumed();
            int handle = Array.FindIndex(waiters, line => line.Length > 0 && !line[0].IsWaiting);
            order.Add(handle);
            lease = waiters[handle][0].Lease;
            waiters[handle] = waiters[handle][1..];
        }

        Assert.Equal([0, 1, 2, 0, 2, 0, 0], order);
    }

    [Fact]
    public void Admit_SomebodyWaitsInAnotherHandle_DoesNotOvertake()
    {
        Handle first = Gate.AddHandle(10);
        Handle second = Gate.AddHandle(10);
        Waiter waits = _test.Wait(first);
        Waiter late = _test.Wait(second);

        _test.AddReplica(1);

        Assert.False(waits.IsWaiting);
        Assert.True(late.IsWaiting);
    }

    [Fact]
    public void Resize_Smaller_EvictsNobodyAndTakesEffectAsPermitsComeBack()
    {
        Handle handle = Gate.AddHandle(10);
        Replica replica = _test.AddReplica(4);
        RequestLease[] running = [_test.Run(handle), _test.Run(handle), _test.Run(handle)];

        Gate.Resize(replica, 1);
        Assert.Equal(3, replica.Permits.Ongoing);
        Assert.Equal(0, Gate.Free);
        Waiter waiter = _test.Wait(handle);
        running[0].End(RequestEnd.Completed);
        running[1].End(RequestEnd.Completed);
        Assert.True(waiter.IsWaiting);

        running[2].End(RequestEnd.Completed);
        Assert.False(waiter.IsWaiting);
        Assert.Equal(1, replica.Permits.Issued);
    }

    [Fact]
    public void Resize_LargerBeforeTheDebtIsPaid_AddsOnlyWhatIsMissing()
    {
        Handle handle = Gate.AddHandle(10);
        Replica replica = _test.AddReplica(4);
        RequestLease[] running = [_test.Run(handle), _test.Run(handle), _test.Run(handle)];
        Gate.Resize(replica, 1);

        Gate.Resize(replica, 4);

        Assert.Equal(1, Gate.Free);
        foreach (RequestLease lease in running)
        {
            lease.End(RequestEnd.Completed);
        }

        Assert.Equal(4, Gate.Free);
        Assert.Equal(4, replica.Permits.Free);
    }

    [Fact]
    public void RemoveReplica_WithOngoingRequests_TheyEndAndNobodyElseComes()
    {
        Handle handle = Gate.AddHandle(10);
        Replica replica = _test.AddReplica(3);
        RequestLease running = _test.Run(handle);

        Gate.RemoveReplica(replica);

        Assert.Empty(Gate.Replicas);
        Assert.Equal(0, Gate.Free);
        Waiter waiter = _test.Wait(handle);
        running.End(RequestEnd.Completed);
        Assert.True(waiter.IsWaiting);
        Assert.Equal(0, replica.Permits.Issued);

        Replica next = _test.AddReplica(1);
        Assert.Same(next, waiter.Lease.Replica);
    }

    [Fact]
    [ContractRow(16)]
    public void Readmit_TheQueueIsFull_GoesBeforeAllThatWaitAndIsCountedOnce()
    {
        Handle handle = Gate.AddHandle(1);
        Replica dying = _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        Waiter waiter = _test.Wait(handle);

        Gate.RemoveReplica(dying);
        lease.Return();
        Waiter returned = Gate.Readmit(handle).Waiter!;

        Assert.Equal(2, handle.Queued);
        _test.Refused(handle, 2);
        _test.AddReplica(1);
        Assert.Same(returned, Assert.Single(_test.RunResumed()));
        returned.Lease.End(RequestEnd.Completed);
        Assert.Same(waiter, Assert.Single(_test.RunResumed()));
        waiter.Lease.End(RequestEnd.Completed);
        AssertCounts(handle, arrived: 3, started: 2, shed: 1, completed: 2);
        Assert.Equal((1, 0, 0), (Gate.Free, Gate.Waiting, handle.Queued));
    }

    [Fact]
    public void Readmit_AnotherReplicaIsFree_RunsAtOnceThoughOthersWait()
    {
        Handle handle = Gate.AddHandle(5);
        _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        _test.AddReplica(1);

        Admission again = Gate.Readmit(handle);
        lease.Return();

        Assert.Equal(AdmissionKind.Run, again.Kind);
        again.Lease.End(RequestEnd.Completed);
        AssertCounts(handle, arrived: 1, started: 1, completed: 1);
        Assert.Equal(2, Gate.Free);
    }

    [Fact]
    public void Readmit_ItLeavesWhileItWaits_FreesItsPlace()
    {
        Handle handle = Gate.AddHandle(0);
        Replica dying = _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        Gate.RemoveReplica(dying);
        lease.Return();
        Waiter returned = Gate.Readmit(handle).Waiter!;

        Assert.True(returned.TryLeave(WaitEnd.Cancelled));

        Assert.Equal((0, 0), (Gate.Waiting, handle.Queued));
        AssertCounts(handle, arrived: 1, started: 1, cancelled: 1);
    }

    [Fact]
    public void Readmit_NothingCanRunIt_IsUnavailableAndHasFailed()
    {
        Handle handle = Gate.AddHandle(5);
        Replica dying = _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        Gate.RemoveReplica(dying);
        Gate.SetUnavailable(true);
        lease.Return();

        Assert.Equal(AdmissionKind.Unavailable, Gate.Readmit(handle).Kind);
        Assert.Equal(1, handle.Counts.Failed);
    }

    [Fact]
    public void SetUnavailable_SomebodyWaits_EndsAndCountsAsShed()
    {
        Handle handle = Gate.AddHandle(100);
        Waiter[] waiters = Waiting(handle, 40);

        Gate.SetUnavailable(true);

        _test.RunResumed();
        Assert.All(waiters, w => Assert.Equal(WaitEnd.Unavailable, TestGate.EndOf(w)));
        Assert.Equal(AdmissionKind.Unavailable, Gate.Admit(handle).Kind);
        Assert.Equal(0, Gate.Waiting);
        AssertCounts(handle, arrived: 41, shed: 41);
    }

    [Fact]
    public void SetUnavailable_AReplicaStillRuns_IsUsedFirst()
    {
        Handle handle = Gate.AddHandle(100);
        _test.AddReplica(1);
        Gate.SetUnavailable(true);

        RequestLease lease = _test.Run(handle);
        Assert.Equal(AdmissionKind.Unavailable, Gate.Admit(handle).Kind);
        lease.End(RequestEnd.Completed);

        Gate.SetUnavailable(false);
        _test.Run(handle);
        _test.Wait(handle);
    }

    /// <summary>A replica's handler may leave calls behind when the replica stops. They were let in: they are served.</summary>
    [Fact]
    public void RemoveHandle_SomebodyWaits_IsServedInTurnAndTheHandleIsForgotten()
    {
        Handle handle = Gate.AddHandle(10);
        Handle other = Gate.AddHandle(0);
        Waiter waiter = _test.Wait(handle);

        Gate.RemoveHandle(handle);
        Assert.True(waiter.IsWaiting);
        Assert.Equal(AdmissionKind.Unavailable, Gate.Admit(handle).Kind);
        _test.AddReplica(1);

        Assert.False(waiter.IsWaiting);
        waiter.Lease.End(RequestEnd.Completed);
        Assert.Equal([other], Gate.Handles);
        Assert.Equal(1, Gate.Totals.Started);

        // Who is forgotten must not count as somebody ahead.
        Assert.Equal(0, Gate.Waiting);
        _test.Run(other);
    }

    [Fact]
    public void RemoveHandle_NobodyWaits_IsForgottenAtOnceAndRunsNothing()
    {
        Handle handle = Gate.AddHandle(10);
        _test.AddReplica(1);
        _test.Run(handle).End(RequestEnd.Completed);

        Gate.RemoveHandle(handle);
        handle.MaxQueued = 50;

        Assert.Empty(Gate.Handles);
        Assert.Equal(1, Gate.Totals.Started);
        Assert.Equal(AdmissionKind.Unavailable, Gate.Admit(handle).Kind);
        AssertCounts(handle, arrived: 2, started: 1, shed: 1, completed: 1);
    }

    /// <summary>A caller goes while one of its requests runs and others have ended: all of them stay in the deployment's totals, and the last is counted when it ends.</summary>
    [Fact]
    public void Totals_HandlesGo_NeverFall()
    {
        _test.AddReplica(2);
        Handle[] handles = [Gate.AddHandle(0), Gate.AddHandle(0)];
        RequestLease runs = _test.Run(handles[0]);
        _test.Run(handles[0]).End(RequestEnd.Failed);
        _test.Run(handles[1]).End(RequestEnd.Completed);
        RequestTotals before = Gate.Totals;

        Gate.RemoveHandle(handles[0]);
        Gate.RemoveHandle(handles[1]);
        RequestTotals gone = Gate.Totals;
        runs.End(RequestEnd.TimedOut);
        RequestTotals ended = Gate.Totals;
        Gate.RemoveHandle(Gate.AddHandle(0));

        Assert.Equal(new(3, 3, default, 1, 1, 0, 0), before);
        Assert.Equal(before, gone);
        Assert.Equal(new(3, 3, default, 1, 1, 0, 1), ended);
        Assert.Equal(ended, Gate.Totals);
    }

    /// <summary>
    /// The last permit comes back while somebody arrives, and nothing else happens that could heal a wake-up that was lost between the two: thousands of times, since
    /// the window is a few instructions wide.
    /// </summary>
    [Fact]
    public void Admit_WhileTheLastPermitComesBack_RunsOrIsGranted()
    {
        const int Rounds = 200_000;
        Handle handle = Gate.AddHandle(1);
        _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        int round = 0;
        int ended = 0;
        Thread releaser = new(() =>
        {
            SpinWait spin = default;
            for (int next = 1; next <= Rounds; next++)
            {
                while (Volatile.Read(ref round) != next)
                {
                    spin.SpinOnce(sleep1Threshold: -1);
                }

                lease.End(RequestEnd.Completed);
                Volatile.Write(ref ended, next);
            }
        });
        releaser.Start();
        int stranded = 0;
        SpinWait wait = default;
        for (int next = 1; next <= Rounds; next++)
        {
            Volatile.Write(ref round, next);
            for (int i = next % 64; i > 0; i--)
            {
                Thread.SpinWait(1);
            }

            Admission admission = Gate.Admit(handle);
            while (Volatile.Read(ref ended) != next)
            {
                wait.SpinOnce(sleep1Threshold: -1);
            }

            if (admission.Waiter is { IsWaiting: true } waiter)
            {
                stranded++;
                waiter.TryLeave(WaitEnd.Cancelled);
                admission = Gate.Admit(handle);
            }

            lease = admission.Waiter?.Lease ?? admission.Lease;
            _test.RunResumed();
        }

        releaser.Join();
        Assert.Equal(0, stranded);
        Assert.Equal(1, _test.Gate.Replicas[0].Permits.Ongoing);
    }

    [Fact]
    public void End_Twice_Throws()
    {
        Handle handle = Gate.AddHandle(10);
        _test.AddReplica(1);
        RequestLease lease = _test.Run(handle);
        lease.End(RequestEnd.Completed);

        Assert.Throws<InvalidOperationException>(() => lease.End(RequestEnd.Completed));
        Assert.Equal(1, Gate.Free);
    }

    [Fact]
    public void Admit_Uncontended_AllocatesNothing()
    {
        Handle handle = Gate.AddHandle(10);
        _test.AddReplica(2);
        _test.AddReplica(2);
        _test.AddReplica(2);

        Assert.Equal(0, Allocations.Of(() => AdmitAndRelease(10_000)));

        void AdmitAndRelease(int times)
        {
            for (int i = 0; i < times; i++)
            {
                Gate.Admit(handle).Lease.End(RequestEnd.Completed);
            }
        }
    }

    private Waiter[] Waiting(Handle handle, int count) => [.. Enumerable.Range(0, count).Select(_ => _test.Wait(handle))];

    private static void AssertCounts(
        Handle handle, long arrived, long started = 0, long shed = 0, long completed = 0, long failed = 0, long cancelled = 0, long timedOut = 0)
    {
        HandleCounts counts = handle.Counts;
        Assert.Equal(
            (arrived, started, shed, completed, failed, cancelled, timedOut),
            (counts.Arrived, counts.Started, counts.Shed, counts.Completed, counts.Failed, counts.Cancelled, counts.TimedOut));
    }
}
