using System.Threading.Channels;

namespace Serve.Embedded.Handles;

/// <summary>
/// One caller's place in front of a deployment: at most <c>max_queued_requests</c> wait here, first in, first out.
/// </summary>
/// <remarks>
/// Arrivals publish themselves in <see cref="_intake"/>, a lock-free channel. Whoever owns the gate's drain moves them on into a list that only the owner touches.
/// The bound on waiting requests is <see cref="_queued"/>, a count moved by compare-and-swap; the channel only has to be large enough that it is rarely full.
/// </remarks>
internal sealed class Handle(AdmissionGate gate, int maxQueued)
{
    private const int LargestIntake = 1024;

    /// <summary>Waiters that have left are swept out when they are this many more than those who wait: amortised, each costs a constant.</summary>
    private const int SweepSlack = 16;

    private RingChannel<Waiter>? _intake;
    private int _maxQueued = Bound(maxQueued);
    private int _queued;
    private int _gone;
    private Waiter? _first;
    private Waiter? _last;

    public AdmissionGate Gate => gate;

    public HandleCounts Counts { get; } = new();

    /// <summary>Requests that wait now.</summary>
    public int Queued => Volatile.Read(ref _queued);

    /// <summary>Waiting requests above which arrivals are refused. A smaller value leaves those who wait alone.</summary>
    public int MaxQueued
    {
        get => Volatile.Read(ref _maxQueued);
        set => Volatile.Write(ref _maxQueued, Bound(value));
    }

    /// <summary>Takes a place in the queue; <see langword="false"/> if there is none.</summary>
    public bool TryReserve(out int queued)
    {
        queued = Volatile.Read(ref _queued);
        while (queued < Volatile.Read(ref _maxQueued))
        {
            int seen = Interlocked.CompareExchange(ref _queued, queued + 1, queued);
            if (seen == queued)
            {
                return true;
            }

            queued = seen;
        }

        return false;
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
            spin.SpinOnce();
        }
    }

    /// <summary>A waiter has left: its place is free at once, its memory when enough others have left too.</summary>
    public void Left(Waiter waiter, WaitEnd end)
    {
        Counts.Left(end);
        gate.OneFewerWaits(this);
        if (Interlocked.Increment(ref _gone) > Queued + SweepSlack)
        {
            gate.Drain();
        }

        gate.Resume(waiter);
    }

    public void ReleasePlace() => Interlocked.Decrement(ref _queued);

    /// <summary>Moves arrivals into the list, drops those at its head who have left, and sweeps the list when too many have.</summary>
    public bool HasWaiterUnsynchronized()
    {
        MoveIntakeUnsynchronized();
        if (Volatile.Read(ref _gone) > Queued + SweepSlack)
        {
            SweepUnsynchronized();
        }

        while (_first is { IsWaiting: false })
        {
            DropFirstUnsynchronized();
            Interlocked.Decrement(ref _gone);
        }

        return _first is not null;
    }

    /// <summary>Takes the oldest waiter off the list, living or not.</summary>
    public Waiter? TakeFirstUnsynchronized()
    {
        Waiter? first = _first;
        if (first is not null)
        {
            DropFirstUnsynchronized();
        }

        return first;
    }

    /// <summary>A waiter that was taken off the list had left before it could be granted.</summary>
    public void ForgetGone() => Interlocked.Decrement(ref _gone);

    /// <summary>Everybody who waits now leaves.</summary>
    public void EndAllUnsynchronized(WaitEnd end)
    {
        MoveIntakeUnsynchronized();
        for (Waiter? waiter = _first; waiter is not null; waiter = waiter.Next)
        {
            waiter.TryLeave(end);
        }
    }

    private static int Bound(int maxQueued) => maxQueued < 0 ? DeploymentOptions.UnlimitedQueueCap : maxQueued;

    /// <summary>Made on first use, so that a thousand idle handles cost nothing.</summary>
    private RingChannel<Waiter> CreateIntake()
    {
        RingChannel<Waiter> created = new(Math.Clamp(MaxQueued, 16, LargestIntake));
        return Interlocked.CompareExchange(ref _intake, created, null) ?? created;
    }

    private void MoveIntakeUnsynchronized()
    {
        if (_intake is not { } intake)
        {
            return;
        }

        while (intake.Reader.TryRead(out Waiter? waiter))
        {
            if (_last is null)
            {
                _first = waiter;
            }
            else
            {
                _last.Next = waiter;
            }

            _last = waiter;
        }
    }

    private void SweepUnsynchronized()
    {
        Waiter? kept = null;
        Waiter? waiter = _first;
        _first = null;
        int dropped = 0;
        while (waiter is not null)
        {
            Waiter? next = waiter.Next;
            if (waiter.IsWaiting)
            {
                if (kept is null)
                {
                    _first = waiter;
                }
                else
                {
                    kept.Next = waiter;
                }

                kept = waiter;
            }
            else
            {
                dropped++;
            }

            waiter = next;
        }

        _last = kept;
        if (kept is not null)
        {
            kept.Next = null;
        }

        Interlocked.Add(ref _gone, -dropped);
    }

    private void DropFirstUnsynchronized()
    {
        Waiter first = _first!;
        _first = first.Next;
        first.Next = null;
        if (_first is null)
        {
            _last = null;
        }
    }
}
