namespace Serve.Embedded.Handles;

/// <summary>
/// Waiters in their order, chained through themselves, and how many they are. Only its owner, who drains the gate, touches the list; the count may be read by anybody. It is for the owner to say of a waiter
/// whether it still waits: those who have left stay in the list until they are taken off or swept.
/// </summary>
internal sealed class WaiterList
{
    private Waiter? _last;
    private int _count;

    public Waiter? First { get; private set; }

    public int Count => Volatile.Read(ref _count);

    public void AddFirst(Waiter waiter)
    {
        waiter.Next = First;
        First = waiter;
        _last ??= waiter;
        Volatile.Write(ref _count, _count + 1);
    }

    public void AddLast(Waiter waiter)
    {
        if (_last is null)
        {
            First = waiter;
        }
        else
        {
            _last.Next = waiter;
        }

        _last = waiter;
        Volatile.Write(ref _count, _count + 1);
    }

    public Waiter? TakeFirst()
    {
        if (First is not { } first)
        {
            return null;
        }

        Volatile.Write(ref _count, _count - 1);
        First = first.Next;
        first.Next = null;
        if (First is null)
        {
            _last = null;
        }

        return first;
    }

    /// <summary>Takes out all that have left.</summary>
    /// <returns>How many they were.</returns>
    public int Sweep()
    {
        Waiter? waiter = First;
        First = null;
        _last = null;
        int dropped = 0;
        while (waiter is not null)
        {
            Waiter? next = waiter.Next;
            waiter.Next = null;
            if (!waiter.IsWaiting)
            {
                dropped++;
            }
            else if (_last is null)
            {
                First = _last = waiter;
            }
            else
            {
                _last = _last.Next = waiter;
            }

            waiter = next;
        }

        Volatile.Write(ref _count, _count - dropped);
        return dropped;
    }
}
