namespace Serve.Embedded.Replicas;

/// <summary>
/// A replica's <c>max_ongoing_requests</c>: a semaphore that holds its free permits, and one word that says how many exist.
/// Exact at every instant, while the limit moves.
/// </summary>
/// <remarks>
/// <para>
/// A permit is taken from the semaphore first (<see cref="TryTake"/>) and turned into ongoing work second (<see cref="TryStart"/>). The second
/// step is where the limit is enforced, in one compare-and-swap on limit, issued and ongoing together: a permit that was taken although the limit
/// has meanwhile shrunk is destroyed there. A permit that comes back while too many exist is destroyed too. So a smaller limit evicts nobody, and
/// no request ever starts above the limit in force.
/// </para>
/// <para>Invariants: <c>ongoing</c> never rises above <c>limit</c>; <c>issued</c> = permits in the semaphore + taken but not yet started + <c>ongoing</c>.</para>
/// </remarks>
internal sealed class ReplicaPermits
{
    /// <summary>The largest limit: three counts share one word.</summary>
    public const int MaxLimit = (1 << FieldBits) - 1;

    private const int FieldBits = 21;
    private const long FieldMask = (1L << FieldBits) - 1;
    private const long OneOngoing = 1;
    private const long OneIssued = 1L << FieldBits;

    private readonly SemaphoreSlim _free = new(0);
    private long _state;
    private TaskCompletionSource? _idle;

    public int Ongoing => OngoingOf(Volatile.Read(ref _state));

    public int Issued => IssuedOf(Volatile.Read(ref _state));

    public int Limit => LimitOf(Volatile.Read(ref _state));

    /// <summary>Permits in the semaphore: an instant's view, for choosing and for status, not for deciding.</summary>
    public int Free => _free.CurrentCount;

    /// <summary>Takes a permit if there is one, without waiting.</summary>
    public bool TryTake() => _free.Wait(0);

    /// <summary>Turns a taken permit into ongoing work; <see langword="false"/> if the limit has shrunk meanwhile, and then the permit is gone.</summary>
    public bool TryStart()
    {
        long state = Volatile.Read(ref _state);
        while (true)
        {
            bool starts = OngoingOf(state) < LimitOf(state);
            long seen = Interlocked.CompareExchange(ref _state, starts ? state + OneOngoing : state - OneIssued, state);
            if (seen == state)
            {
                return starts;
            }

            state = seen;
        }
    }

    /// <summary>Ends ongoing work. <see langword="true"/> if its permit is free again, <see langword="false"/> if it was one too many and is gone.</summary>
    /// <exception cref="InvalidOperationException">Nothing is ongoing: a lease was ended twice.</exception>
    public bool Finish()
    {
        long state = Volatile.Read(ref _state);
        while (true)
        {
            if (OngoingOf(state) == 0)
            {
                throw new InvalidOperationException("A request was ended twice: its permit had already come back.");
            }

            bool excess = IssuedOf(state) > LimitOf(state);
            long next = state - OneOngoing - (excess ? OneIssued : 0);
            long seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                if (!excess)
                {
                    _free.Release();
                }
                else if (OngoingOf(next) == 0)
                {
                    Volatile.Read(ref _idle)?.TrySetResult();
                }

                return !excess;
            }

            state = seen;
        }
    }

    /// <summary>Sets the limit. Returns how many permits were added to the semaphore: the caller makes them claimable.</summary>
    public int Resize(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(limit);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limit, MaxLimit);
        long state = Volatile.Read(ref _state);
        while (true)
        {
            int added = Math.Max(0, limit - IssuedOf(state));
            long next = ((long)limit << (2 * FieldBits)) | (state & ~(FieldMask << (2 * FieldBits)));
            next += added * OneIssued;
            long seen = Interlocked.CompareExchange(ref _state, next, state);
            if (seen == state)
            {
                if (added > 0)
                {
                    _free.Release(added);
                }

                return added;
            }

            state = seen;
        }
    }

    /// <summary>Destroys a taken permit if too many exist; <see langword="false"/> if none is too many, and then it is back in the semaphore.</summary>
    public bool TryDestroyTaken()
    {
        long state = Volatile.Read(ref _state);
        while (IssuedOf(state) > LimitOf(state))
        {
            long seen = Interlocked.CompareExchange(ref _state, state - OneIssued, state);
            if (seen == state)
            {
                return true;
            }

            state = seen;
        }

        _free.Release();
        return false;
    }

    /// <summary>Completes when nothing is ongoing. For a replica whose limit is 0: nothing starts any more.</summary>
    public Task WhenIdle()
    {
        TaskCompletionSource created = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource idle = Interlocked.CompareExchange(ref _idle, created, null) ?? created;
        if (Ongoing == 0)
        {
            idle.TrySetResult();
        }

        return idle.Task;
    }

    private static int OngoingOf(long state) => (int)(state & FieldMask);

    private static int IssuedOf(long state) => (int)((state >> FieldBits) & FieldMask);

    private static int LimitOf(long state) => (int)((state >> (2 * FieldBits)) & FieldMask);
}
