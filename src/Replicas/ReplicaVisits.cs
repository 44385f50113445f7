namespace Serve.Embedded.Replicas;

/// <summary>Calls that take no permit, such as broadcasts: counted so that the handler is not disposed of under them.</summary>
internal sealed class ReplicaVisits
{
    private const int Closed = int.MinValue;

    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _state;

    /// <summary><see langword="false"/> if nobody may come any more.</summary>
    public bool TryEnter()
    {
        int state = Volatile.Read(ref _state);
        while (state >= 0)
        {
            int seen = Interlocked.CompareExchange(ref _state, state + 1, state);
            if (seen == state)
            {
                return true;
            }

            state = seen;
        }

        return false;
    }

    public void Leave()
    {
        if (Interlocked.Decrement(ref _state) == Closed)
        {
            _over.TrySetResult();
        }
    }

    /// <summary>Lets nobody in from now on; completes when those inside have left.</summary>
    public Task CloseAsync()
    {
        if ((Interlocked.Or(ref _state, Closed) & ~Closed) == 0)
        {
            _over.TrySetResult();
        }

        return _over.Task;
    }
}
