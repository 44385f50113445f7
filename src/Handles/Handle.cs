using System.Collections.Concurrent;
using System.Threading.Channels;

namespace Serve.Embedded.Handles;

/// <summary>
/// One caller's place in front of a deployment: at most <c>max_queued_requests</c> wait here, first in, first out.
/// </summary>
/// <remarks>
/// Arrivals publish themselves in <see cref="_intake"/>, a lock-free channel. Whoever owns the gate's drain moves them on into <see cref="_list"/>, which only the owner touches.
/// The bound on waiting requests is in <see cref="_places"/>: limit and count share one word, so that no arrival is let in by a limit that is no longer in force.
/// The channel only has to be large enough that it is rarely full.
/// </remarks>
internal sealed class Handle(AdmissionGate gate, int maxQueued)
{
    /// <summary>Of the channel. Arrivals that find it full move everybody on into the list, so it bounds nothing.</summary>
    private const int IntakeSize = 64;

    private const int LimitShift = 32;
    private const long Closed = long.MinValue;

    /// <summary>Waiters that have left are swept out when they are this many more than those who wait: amortised, each costs a constant.</summary>
    private const int SweepSlack = 16;

    private readonly WaiterList _list = new();
    private RingChannel<Waiter>? _intake;

    /// <summary>Those who come back: few, and only when a replica has died. They go before all others.</summary>
    private ConcurrentStack<Waiter>? _returned;
    private long _places = (long)Bound(maxQueued) << LimitShift;
    private int _gone;

    public AdmissionGate Gate => gate;

    public HandleCounts Counts { get; } = new();

    /// <summary>Requests that have taken a place: what the limit counts.</summary>
    public int Queued => QueuedOf(Volatile.Read(ref _places));

    /// <summary>
    /// Requests that stand in the queue. Who has taken a place and has not published itself is not one of them yet: whoever is shown a request as waiting may count on
    /// everything that comes later to be behind it.
    /// </summary>
    public int InOrder
    {
        get
        {
            // The list first: who moves into it between these looks is left out for that instant. Whoever were counted twice, or had left, would stand for one who is not in order yet.
            int published = _list.Count;
            published += (Volatile.Read(ref _intake)?.Reader.Count ?? 0) + (Volatile.Read(ref _returned)?.Count ?? 0);
            return Math.Clamp(published - Volatile.Read(ref _gone), 0, Queued);
        }
    }

    /// <summary>Waiting requests above which arrivals are refused. A smaller value leaves those who wait alone.</summary>
    public int MaxQueued
    {
        get => LimitOf(Volatile.Read(ref _places));
        set
        {
            long limit = (long)Bound(value) << LimitShift;
            long places = Volatile.Read(ref _places);
            while (true)
            {
                long seen = Interlocked.CompareExchange(ref _places, (places & Closed) | limit | (uint)QueuedOf(places), places);
                if (seen == places)
                {
                    return;
                }

                places = seen;
            }
        }
    }

    /// <summary>Whether nobody may come any more.</summary>
    public bool IsClosed => Volatile.Read(ref _places) < 0;

    /// <summary>Whether it is closed and nobody waits: nobody ever will.</summary>
    public bool IsSpent
    {
        get
        {
            long places = Volatile.Read(ref _places);
            return places < 0 && QueuedOf(places) == 0;
        }
    }

    /// <summary>From now on nobody takes a place; those who wait are served in their turn.</summary>
    public void Close() => Interlocked.Or(ref _places, Closed);

    /// <summary>Takes a place in the queue; <see langword="false"/> if there is none.</summary>
    public bool TryReserve(out int queued) => TryReserve(hasLimit: true, out queued);

    /// <summary>Takes a place for a request that was admitted already, whatever the limit; <see langword="false"/> if it is closed: what is spent is looked at no more.</summary>
    public bool TryReserveAgain() => TryReserve(hasLimit: false, out _);

    /// <summary>Puts a waiter that has a place before all that came after it.</summary>
    public void PublishFirst(Waiter waiter)
    {
        ConcurrentStack<Waiter> returned = _returned ?? Interlocked.CompareExchange(ref _returned, new(), null) ?? _returned!;
        returned.Push(waiter);
    }

    /// <summary>Puts a waiter that has a place behind all that came before.</summary>
    public void Publish(Waiter waiter)
    {
        ChannelWriter<Waiter> intake = (_intake ?? CreateIntake()).Writer;
        SpinWait spin = default;
        while (!intake.TryWrite(waiter))
        {
            // Full: move everybody on into the list. If another thread owns the drain it does so before it stops.
            gate.Drain();
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    /// <summary>A waiter has left: its place is free at once, its memory when enough others have left too.</summary>
    public void Left(Waiter waiter, WaitEnd end)
    {
        Counts.Left(end);
        gate.OneFewerWaits(this);
        if (Interlocked.Increment(ref _gone) > Queued + SweepSlack || IsSpent)
        {
            gate.Drain();
        }

        gate.Resume(waiter);
    }

    public void ReleasePlace() => Interlocked.Decrement(ref _places);

    /// <summary>Moves arrivals into the list, drops those at its head who have left, and sweeps the list when too many have.</summary>
    public bool HasWaiterUnsynchronized()
    {
        MoveIntakeUnsynchronized();
        if (Volatile.Read(ref _gone) > Queued + SweepSlack)
        {
            Interlocked.Add(ref _gone, -_list.Sweep());
        }

        while (_list.First is { IsWaiting: false })
        {
            _list.TakeFirst();
            Interlocked.Decrement(ref _gone);
        }

        return _list.First is not null;
    }

    /// <summary>The oldest waiter, living or not.</summary>
    public Waiter? FirstUnsynchronized => _list.First;

    /// <summary>Takes the oldest waiter off the list, living or not.</summary>
    public Waiter? TakeFirstUnsynchronized() => _list.TakeFirst();

    /// <summary>A waiter that was taken off the list had left before it could be granted.</summary>
    public void ForgetGone() => Interlocked.Decrement(ref _gone);

    /// <summary>Everybody who waits now leaves.</summary>
    public void EndAllUnsynchronized(WaitEnd end)
    {
        MoveIntakeUnsynchronized();
        for (Waiter? waiter = _list.First; waiter is not null; waiter = waiter.Next)
        {
            waiter.TryLeave(end);
        }
    }

    private bool TryReserve(bool hasLimit, out int queued)
    {
        long places = Volatile.Read(ref _places);
        while (true)
        {
            queued = QueuedOf(places);
            if (places < 0 || (hasLimit && queued >= LimitOf(places)))
            {
                return false;
            }

            long seen = Interlocked.CompareExchange(ref _places, places + 1, places);
            if (seen == places)
            {
                return true;
            }

            places = seen;
        }
    }

    private static int Bound(int maxQueued) => maxQueued < 0 ? DeploymentOptions.UnlimitedQueueCap : maxQueued;

    private static int QueuedOf(long places) => (int)(uint)places;

    private static int LimitOf(long places) => (int)(places >> LimitShift) & int.MaxValue;

    /// <summary>Made on first use, so that a thousand idle handles cost nothing.</summary>
    private RingChannel<Waiter> CreateIntake()
    {
        RingChannel<Waiter> created = new(IntakeSize);
        return Interlocked.CompareExchange(ref _intake, created, null) ?? created;
    }

    private void MoveIntakeUnsynchronized()
    {
        if (_returned is { IsEmpty: false } returned)
        {
            while (returned.TryPop(out Waiter? first))
            {
                _list.AddFirst(first);
            }
        }

        if (_intake is not { } intake)
        {
            return;
        }

        while (intake.Reader.TryRead(out Waiter? waiter))
        {
            _list.AddLast(waiter);
        }
    }
}
