using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>
/// Admission to one deployment: run now, wait, or refuse. All its handles and replicas meet here; nothing takes a lock of ours.
/// </summary>
/// <remarks>
/// <para>
/// <see cref="_free"/> counts permits that may be claimed. It is never more than the permits in the replicas' semaphores: a permit is put into a semaphore before it is
/// counted, and claimed before it is taken out. So a claim always finds a permit, and "is a permit free?" is one atomic question, not a scan over moving replicas.
/// <see cref="_waiting"/> counts those who wait in all handles: while it is not 0 an arrival goes behind them.
/// </para>
/// <para>
/// No wake-up is lost: an arrival publishes itself, then reads <see cref="_free"/>; a release adds to <see cref="_free"/>, then reads <see cref="_waiting"/>; a full fence
/// stands between the two steps on both sides, so at least one of them sees the other and drains.
/// </para>
/// </remarks>
internal sealed class AdmissionGate(ServeEnvironment environment)
{
    private readonly Lock _membership = new();
    private readonly FormerHandles _former = new();
    private readonly Dice _dice = new(environment.Random.NextInt64());
    private Replica[] _replicas = [];
    private Handle[] _handles = [];
    private int _free;
    private int _waiting;
    private int _drains;
    private int _turn;
    private int _unavailable;
    private TaskCompletionSource? _nobodyWaits;

    /// <summary>Requests that wait, in all handles: what is shown of them, in metrics and in the status.</summary>
    public int InOrder => Handles.Sum(static handle => handle.InOrder);

    /// <summary>Requests that wait or are about to.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Permits that may be claimed now.</summary>
    public int Free => Volatile.Read(ref _free);

    public Replica[] Replicas => Volatile.Read(ref _replicas);

    public Handle[] Handles => Volatile.Read(ref _handles);

    /// <summary>What became of every request that ever came. None of it goes down, whoever's handle goes.</summary>
    public RequestTotals Totals
    {
        get
        {
            lock (_membership)
            {
                return _handles.Aggregate(_former.Totals, static (sum, handle) => sum + handle.Counts.Totals);
            }
        }
    }

    /// <summary>Called when somebody begins to wait while there is no replica at all: whoever scales to zero wants to know.</summary>
    public Action? OnStarved { get; set; }

    public RetryAfter RetryAfter { get; } = new(environment);

    /// <summary>Opens a new caller's handle.</summary>
    public Handle AddHandle(int maxQueued)
    {
        Handle handle = new(this, maxQueued);
        lock (_membership)
        {
            Volatile.Write(ref _handles, [.. _handles, handle]);
        }

        return handle;
    }

    /// <summary>Closes a caller's handle: who comes is refused, who waits is served in turn, and then the handle is forgotten.</summary>
    public void RemoveHandle(Handle handle)
    {
        handle.Close();
        Drain();
    }

    /// <summary>Decides at once: a lease, a place in the queue, or a refusal.</summary>
    /// <param name="handle">Through which it comes.</param>
    /// <param name="route">Which replicas it prefers; <see langword="null"/> = none.</param>
    public Admission Admit(Handle handle, CallRoute? route = null)
    {
        handle.Counts.Arrive();
        if (handle.IsClosed)
        {
            return Unavailable(handle);
        }

        while (Volatile.Read(ref _waiting) == 0 && TryClaim(out bool last))
        {
            if (TryStart(route, out Replica? replica))
            {
                handle.Counts.Start();
                return Admission.Run(new(handle, replica, last ? environment.Time.GetTimestamp() : 0));
            }
        }

        if (Volatile.Read(ref _unavailable) != 0)
        {
            return Unavailable(handle);
        }

        if (!handle.TryReserve(out int queued))
        {
            if (handle.IsClosed || Volatile.Read(ref _unavailable) != 0)
            {
                // It has gone since it was looked at: to come back when the queue is shorter would not help.
                return Unavailable(handle);
            }

            handle.Counts.Refuse(RefusalReason.QueueFull);
            RetryAfter.Watch(this);
            return Admission.Refuse(queued);
        }

        bool isFirst = Interlocked.Increment(ref _waiting) == 1;
        Waiter waiter = new(handle, route: route);
        handle.Publish(waiter);
        Published();

        if (isFirst && Replicas.Length == 0)
        {
            OnStarved?.Invoke();
        }

        RetryAfter.Watch(this);
        return Admission.Wait(waiter);
    }

    /// <summary>
    /// Takes a request in again whose replica has died under it: it was admitted once, so it is never refused for want of a place, and goes before all that wait in its handle.
    /// </summary>
    public Admission Readmit(Handle handle)
    {
        // It came before everybody who waits: to take a permit past them is its turn.
        while (TryClaim(out bool last))
        {
            if (TryStart(null, out Replica? replica))
            {
                return Admission.Run(new(handle, replica, last ? environment.Time.GetTimestamp() : 0));
            }
        }

        if (Volatile.Read(ref _unavailable) != 0 || !handle.TryReserveAgain())
        {
            handle.Counts.Ended(RequestEnd.Failed);
            return Admission.Unavailable;
        }

        Interlocked.Increment(ref _waiting);
        Waiter waiter = new(handle, wasStarted: true);
        handle.PublishFirst(waiter);
        Published();

        if (Replicas.Length == 0)
        {
            OnStarved?.Invoke();
        }

        return Admission.Wait(waiter);
    }

    /// <summary>Takes another replica's permit in place of the one that a request has, which goes on to others.</summary>
    /// <returns>Whether that replica had one free; if not, the lease is as it was.</returns>
    public bool TryMove(ref RequestLease lease, Replica to)
    {
        if (!TryClaim(out _))
        {
            return false;
        }

        if (!to.Permits.TryTake())
        {
            Offer(1);
            return false;
        }

        if (!to.Permits.TryStart())
        {
            // It was one too many after a shrink, and the claim is gone with it.
            return false;
        }

        RequestLease moved = new(lease.Handle, to, 0);
        lease.Return();
        lease = moved;
        return true;
    }

    /// <summary>Ends work on a replica and passes its permit on.</summary>
    public void Release(Replica replica, long startedAt)
    {
        if (startedAt != 0)
        {
            RetryAfter.Served(environment.Time.GetElapsedTime(startedAt));
        }

        if (replica.Permits.Finish())
        {
            Offer(1);
        }
    }

    /// <summary>Takes a replica in, with its limit.</summary>
    public void AddReplica(Replica replica, int limit)
    {
        lock (_membership)
        {
            Volatile.Write(ref _replicas, [.. _replicas, replica]);
        }

        Resize(replica, limit);
    }

    /// <summary>Changes a replica's limit. A smaller one evicts nobody and takes effect as permits come back.</summary>
    public void Resize(Replica replica, int limit)
    {
        int added = replica.Permits.Resize(limit);
        if (added > 0)
        {
            Offer(added);
        }
        else
        {
            Reclaim(replica);
        }
    }

    /// <summary>Takes a replica out: from now on it is given no request, and those it has go on.</summary>
    public void RemoveReplica(Replica replica)
    {
        replica.Permits.Resize(0);

        // Until all its free permits are destroyed they are counted as claimable, so claimers must be able to find them here.
        // What is missing is in the hands of threads between two steps of theirs.
        SpinWait spin = default;
        while (true)
        {
            Reclaim(replica);
            if (replica.Permits.Issued == replica.Permits.Ongoing)
            {
                break;
            }

            spin.SpinOnce();
        }

        lock (_membership)
        {
            Volatile.Write(ref _replicas, [.. _replicas.Where(r => r != replica)]);
        }
    }

    /// <summary>Whether nothing can run requests any more: those who wait and those who come are refused. Replicas that still run are used first.</summary>
    public void SetUnavailable(bool unavailable)
    {
        Interlocked.Exchange(ref _unavailable, unavailable ? 1 : 0);
        if (unavailable)
        {
            Drain();
        }
    }

    /// <summary>A waiter has left its handle's queue.</summary>
    public void OneFewerWaits(Handle handle)
    {
        handle.ReleasePlace();
        if (Interlocked.Decrement(ref _waiting) == 0)
        {
            Volatile.Read(ref _nobodyWaits)?.TrySetResult();
        }
    }

    /// <summary>Completes when nobody waits, at once if nobody does now. For a deployment that is going away: whoever comes later does not count.</summary>
    public Task WhenNobodyWaits()
    {
        TaskCompletionSource created = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource nobody = Interlocked.CompareExchange(ref _nobodyWaits, created, null) ?? created;
        if (Waiting == 0)
        {
            nobody.TrySetResult();
        }

        return nobody.Task;
    }

    /// <summary>Lets the caller of an ended wait go on.</summary>
    public void Resume(Waiter waiter) => environment.Resume(waiter);

    /// <summary>Gives free permits to waiters. One thread at a time does it; the others leave it their news and go.</summary>
    public void Drain()
    {
        int news = Interlocked.Increment(ref _drains);
        if (news != 1)
        {
            return;
        }

        do
        {
            DrainUnsynchronized();
            news = Interlocked.Add(ref _drains, -news);
        }
        while (news != 0);
    }

    private static Admission Unavailable(Handle handle)
    {
        handle.Counts.Refuse(RefusalReason.Unavailable);
        return Admission.Unavailable;
    }

    /// <summary>After a waiter was published: a release that came before may not have seen it.</summary>
    private void Published()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _free) > 0 || Volatile.Read(ref _unavailable) != 0)
        {
            Drain();
        }
    }

    private void DrainUnsynchronized()
    {
        if (Volatile.Read(ref _unavailable) != 0)
        {
            foreach (Handle handle in Handles)
            {
                handle.EndAllUnsynchronized(WaitEnd.Unavailable);
            }
        }

        while (SomebodyWaitsUnsynchronized() && TryClaim(out _))
        {
            if (!TryStart(NextRouteUnsynchronized(), out Replica? replica))
            {
                continue;
            }

            if (!TryGrantUnsynchronized(replica) && replica.Permits.Finish())
            {
                // Everybody has left meanwhile. Put the permit back, then look again:
                // who arrived while it was claimed saw none free and counts on this thread.
                Interlocked.Increment(ref _free);
            }
        }
    }

    /// <summary>Every handle is looked at, so that arrivals move on and those who left are swept wherever they are.</summary>
    private bool SomebodyWaitsUnsynchronized()
    {
        bool any = false;
        foreach (Handle handle in Handles)
        {
            any |= handle.HasWaiterUnsynchronized();
            if (handle.IsSpent)
            {
                Forget(handle);
            }
        }

        return any;
    }

    /// <summary>What the waiter prefers whose turn it is. If it leaves before it is granted, the next one gets what was found for it.</summary>
    private CallRoute? NextRouteUnsynchronized()
    {
        Handle[] handles = Handles;
        for (int i = 0; i < handles.Length; i++)
        {
            if (handles[(_turn + i) % handles.Length].FirstUnsynchronized is { } first)
            {
                return first.Route;
            }
        }

        return null;
    }

    private void Forget(Handle handle)
    {
        lock (_membership)
        {
            Volatile.Write(ref _handles, [.. _handles.Where(h => h != handle)]);
            _former.Add(handle.Counts);
        }
    }

    /// <summary>Handles take turns; within a handle the oldest is first.</summary>
    private bool TryGrantUnsynchronized(Replica replica)
    {
        Handle[] handles = Handles;
        long now = environment.Time.GetTimestamp();
        for (int i = 0; i < handles.Length; i++)
        {
            Handle handle = handles[(_turn + i) % handles.Length];
            while (handle.TakeFirstUnsynchronized() is { } waiter)
            {
                if (waiter.TryGrant(replica, now))
                {
                    _turn = (_turn + i + 1) % handles.Length;
                    if (!waiter.WasStarted)
                    {
                        handle.Counts.Start();
                    }

                    OneFewerWaits(handle);
                    Resume(waiter);
                    return true;
                }

                handle.ForgetGone();
            }
        }

        return false;
    }

    /// <summary>Makes permits claimable, to those who wait first.</summary>
    private void Offer(int permits)
    {
        Interlocked.Add(ref _free, permits);
        if (Volatile.Read(ref _waiting) > 0)
        {
            Drain();
        }
    }

    private bool TryClaim(out bool last)
    {
        int free = Volatile.Read(ref _free);
        while (free > 0)
        {
            int seen = Interlocked.CompareExchange(ref _free, free - 1, free);
            if (seen == free)
            {
                last = free == 1;
                return true;
            }

            free = seen;
        }

        last = false;
        return false;
    }

    /// <summary>Turns a claim into work on a replica; <see langword="false"/> if the permit it found was one too many after a shrink, and the claim is gone with it.</summary>
    private bool TryStart(CallRoute? route, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Replica? replica)
    {
        SpinWait spin = default;
        while (true)
        {
            replica = route is null ? ReplicaPicker.Take(Replicas, _dice) : RoutedPicker.Take(Replicas, route, _dice);
            if (replica is not null)
            {
                return replica.Permits.TryStart();
            }

            // There is a permit for every claim; it moved from a replica not yet looked at to one already passed.
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    /// <summary>Destroys a replica's free permits above its limit.</summary>
    private void Reclaim(Replica replica)
    {
        while (replica.Permits.Issued > replica.Permits.Limit && replica.Permits.Free > 0 && TryClaim(out _))
        {
            if (!replica.Permits.TryTake() || !replica.Permits.TryDestroyTaken())
            {
                Offer(1);
                return;
            }
        }
    }
}
