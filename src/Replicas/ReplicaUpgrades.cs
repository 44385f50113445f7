namespace Serve.Embedded.Replicas;

/// <summary>A replica's upgraded connections where <c>max_websockets</c> bounds them: they hold no permit, and are counted here.</summary>
internal sealed class ReplicaUpgrades
{
    private int _count;
    private TaskCompletionSource? _none;

    /// <summary>Connections that are upgraded, and requests that may become one.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Takes a place if fewer than the limit are taken. A smaller limit than before evicts nobody.</summary>
    public bool TryTake(int limit)
    {
        int count = Volatile.Read(ref _count);
        while (count < limit)
        {
            int seen = Interlocked.CompareExchange(ref _count, count + 1, count);
            if (seen == count)
            {
                return true;
            }

            count = seen;
        }

        return false;
    }

    public void Return()
    {
        if (Interlocked.Decrement(ref _count) == 0)
        {
            Volatile.Read(ref _none)?.TrySetResult();
        }
    }

    /// <summary>Completes when there are none. For a replica on which nothing is ongoing and nothing starts any more, so that there will be none.</summary>
    public Task WhenNone()
    {
        TaskCompletionSource created = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource none = Interlocked.CompareExchange(ref _none, created, null) ?? created;
        if (Count == 0)
        {
            none.TrySetResult();
        }

        return none.Task;
    }
}
