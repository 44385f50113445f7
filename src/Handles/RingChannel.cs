using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Threading.Channels;

namespace Serve.Embedded.Handles;

/// <summary>
/// A bounded channel over a lock-free ring: any number of writers and readers, no lock and no allocation in <c>TryWrite</c> and <c>TryRead</c>
/// (the BCL's bounded and unbounded channels both lock to write). Waiting for room or for items does take a lock: nothing that is in a hurry waits.
/// </summary>
/// <remarks>
/// The ring is D. Vyukov's bounded queue: every slot carries a sequence number that says whose turn it is. Closing sets a bit in the tail
/// itself, so that a write either came before the close and will be read, or fails.
/// </remarks>
internal sealed class RingChannel<T> : Channel<T>
{
    private const long Closed = 1L << 62;

    private readonly Slot[] _slots;
    private readonly int _mask;
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _waiting = new();
    private readonly List<TaskCompletionSource<bool>> _readers = [];
    private readonly List<TaskCompletionSource<bool>> _writers = [];
    private PaddedCounter _head;
    private PaddedCounter _tail;
    private int _blocked;
    private Exception? _error;

    /// <param name="capacity">At least this many items fit; rounded up to a power of two, at least 2.</param>
    public RingChannel(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, 1 << 30);
        _slots = new Slot[(int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(2, capacity))];
        _mask = _slots.Length - 1;
        for (int i = 0; i < _slots.Length; i++)
        {
            _slots[i].Sequence = i;
        }

        Reader = new RingReader(this);
        Writer = new RingWriter(this);
    }

    public int Capacity => _slots.Length;

    private bool IsClosed => (Volatile.Read(ref _tail.Value) & Closed) != 0;

    private bool TryWrite(T item)
    {
        long tail = Volatile.Read(ref _tail.Value);
        while ((tail & Closed) == 0)
        {
            ref Slot slot = ref _slots[tail & _mask];
            long turn = Volatile.Read(ref slot.Sequence) - tail;
            if (turn == 0)
            {
                long seen = Interlocked.CompareExchange(ref _tail.Value, tail + 1, tail);
                if (seen == tail)
                {
                    slot.Item = item;
                    Volatile.Write(ref slot.Sequence, tail + 1);
                    WakeBlocked();
                    return true;
                }

                tail = seen;
            }
            else if (turn < 0)
            {
                return false;
            }
            else
            {
                tail = Volatile.Read(ref _tail.Value);
            }
        }

        return false;
    }

    private bool TryRead([MaybeNullWhen(false)] out T item)
    {
        long head = Volatile.Read(ref _head.Value);
        while (true)
        {
            ref Slot slot = ref _slots[head & _mask];
            long turn = Volatile.Read(ref slot.Sequence) - (head + 1);
            if (turn == 0)
            {
                long seen = Interlocked.CompareExchange(ref _head.Value, head + 1, head);
                if (seen == head)
                {
                    item = slot.Item!;
                    slot.Item = default;
                    Volatile.Write(ref slot.Sequence, head + _slots.Length);
                    WakeBlocked();
                    CompleteIfDrained();
                    return true;
                }

                head = seen;
            }
            else if (turn < 0)
            {
                item = default;
                return false;
            }
            else
            {
                head = Volatile.Read(ref _head.Value);
            }
        }
    }

    private bool TryComplete(Exception? error)
    {
        lock (_waiting)
        {
            if (IsClosed)
            {
                return false;
            }

            _error = error;
            Interlocked.Or(ref _tail.Value, Closed);
        }

        WakeBlocked();
        CompleteIfDrained();
        return true;
    }

    private void CompleteIfDrained()
    {
        long tail = Volatile.Read(ref _tail.Value);
        if ((tail & Closed) == 0 || Volatile.Read(ref _head.Value) != (tail & ~Closed))
        {
            return;
        }

        if (_error is null)
        {
            _completion.TrySetResult();
        }
        else
        {
            _completion.TrySetException(_error);
        }
    }

    /// <summary>True when an item can be read now, false when none ever will, null when neither is known.</summary>
    private bool? CanRead()
    {
        // The closed bit first: once it is set no item can come that the second look would miss.
        bool closed = IsClosed;
        long head = Volatile.Read(ref _head.Value);
        if (Volatile.Read(ref _slots[head & _mask].Sequence) >= head + 1)
        {
            return true;
        }

        return closed && head == (Volatile.Read(ref _tail.Value) & ~Closed) ? false : null;
    }

    private bool? CanWrite()
    {
        long tail = Volatile.Read(ref _tail.Value);
        if ((tail & Closed) != 0)
        {
            return false;
        }

        return Volatile.Read(ref _slots[tail & _mask].Sequence) >= tail ? true : null;
    }

    private ValueTask<bool> WaitAsync(Func<RingChannel<T>, bool?> look, List<TaskCompletionSource<bool>> waiters, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<bool>(cancellationToken);
        }

        if (look(this) is { } now)
        {
            return Answer(now);
        }

        TaskCompletionSource<bool> waiter = new(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_waiting)
        {
            waiters.Add(waiter);
            Interlocked.Increment(ref _blocked);

            // Look again: a change between the first look and the increment was made by somebody who saw nobody waiting.
            if (look(this) is { } meanwhile)
            {
                Remove(waiters, waiter);
                return Answer(meanwhile);
            }
        }

        return Await(waiter, waiters, cancellationToken);
    }

    private async ValueTask<bool> Await(TaskCompletionSource<bool> waiter, List<TaskCompletionSource<bool>> waiters, CancellationToken cancellationToken)
    {
        using (cancellationToken.UnsafeRegister(
            static (state, token) =>
            {
                (RingChannel<T> channel, List<TaskCompletionSource<bool>> list, TaskCompletionSource<bool> source) =
                    ((RingChannel<T>, List<TaskCompletionSource<bool>>, TaskCompletionSource<bool>))state!;
                lock (channel._waiting)
                {
                    channel.Remove(list, source);
                }

                source.TrySetCanceled(token);
            },
            (this, waiters, waiter)))
        {
            bool result = await waiter.Task;
            return result || _error is null ? result : throw _error;
        }
    }

    private ValueTask<bool> Answer(bool result) =>
        result || _error is null ? new(result) : ValueTask.FromException<bool>(_error);

    private void Remove(List<TaskCompletionSource<bool>> waiters, TaskCompletionSource<bool> waiter)
    {
        if (waiters.Remove(waiter))
        {
            Interlocked.Decrement(ref _blocked);
        }
    }

    private void WakeBlocked()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _blocked) == 0)
        {
            return;
        }

        lock (_waiting)
        {
            Wake(_readers, CanRead());
            Wake(_writers, CanWrite());
        }
    }

    private void Wake(List<TaskCompletionSource<bool>> waiters, bool? outcome)
    {
        if (outcome is not { } result)
        {
            return;
        }

        Interlocked.Add(ref _blocked, -waiters.Count);
        foreach (TaskCompletionSource<bool> waiter in waiters)
        {
            waiter.TrySetResult(result);
        }

        waiters.Clear();
    }

    private struct Slot
    {
        public long Sequence;
        public T? Item;
    }

    private sealed class RingReader(RingChannel<T> channel) : ChannelReader<T>
    {
        public override Task Completion => channel._completion.Task;

        public override bool CanCount => true;

        public override int Count =>
            (int)Math.Clamp((Volatile.Read(ref channel._tail.Value) & ~Closed) - Volatile.Read(ref channel._head.Value), 0, channel.Capacity);

        public override bool TryRead([MaybeNullWhen(false)] out T item) => channel.TryRead(out item);

        public override ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default) =>
            channel.WaitAsync(static ring => ring.CanRead(), channel._readers, cancellationToken);
    }

    private sealed class RingWriter(RingChannel<T> channel) : ChannelWriter<T>
    {
        public override bool TryWrite(T item) => channel.TryWrite(item);

        public override bool TryComplete(Exception? error = null) => channel.TryComplete(error);

        public override ValueTask<bool> WaitToWriteAsync(CancellationToken cancellationToken = default) =>
            channel.WaitAsync(static ring => ring.CanWrite(), channel._writers, cancellationToken);
    }
}

/// <summary>A counter with a cache line of its own, so that writers and readers of a ring do not slow each other.</summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal struct PaddedCounter
{
    [FieldOffset(64)]
    public long Value;
}
