using Serve.Embedded.Tests.Simulation;

namespace Serve.Embedded.Tests.Stress;

/// <summary>
/// Admission as the stress harness sees it: the real gate, a plain one under a lock, or that plain one with a rule broken on purpose.
/// Handles and replicas are numbered in the order in which they are added.
/// </summary>
internal abstract class AdmissionSubject
{
    public abstract int Waiting { get; }

    /// <summary>How many it says to wait where somebody looks from outside.</summary>
    public virtual int Shown => Waiting;

    /// <summary>Permits that an arrival could be given now.</summary>
    public abstract int Free { get; }

    public abstract void AddHandle(int maxQueued);

    public abstract void SetMaxQueued(int handle, int maxQueued);

    public abstract int Queued(int handle);

    public abstract SubjectCounts Counts(int handle);

    public abstract void AddReplica(int limit);

    public abstract void Resize(int replica, int limit);

    public abstract void RemoveReplica(int replica);

    public abstract int Ongoing(int replica);

    /// <summary>Decides at once. Calls <see cref="StressRequest.Granted"/> when one that waits is given a permit, maybe before it returns.</summary>
    public abstract ModelDecision Admit(StressRequest request, out int replica);

    /// <summary>Ends the wait without a permit; <see langword="false"/> if it had ended.</summary>
    public abstract bool TryLeave(StressRequest request);

    public abstract void Release(StressRequest request, int replica);
}

internal readonly record struct SubjectCounts(long Arrived, long Started, long Shed, long Completed, long Cancelled);

/// <summary>One request of the harness, and what the subject keeps with it.</summary>
internal sealed class StressRequest(StressWorker? owner, int handle, long number)
{
    private const int Waiting = 0;
    private const int Running = 1;
    private const int Left = 2;
    private int _state;

    public int Handle => handle;

    /// <summary>Counts up with the arrivals of its owner.</summary>
    public long Number => number;

    public int Replica { get; private set; } = -1;

    public bool IsWaiting => Volatile.Read(ref _state) == Waiting;

    /// <summary>The subject's own.</summary>
    public object? Token { get; set; }

    /// <summary>The subject has given it a permit while it waited.</summary>
    public void Granted(int replica)
    {
        Replica = replica;
        int before = Interlocked.Exchange(ref _state, Running);
        owner?.Granted(this, twice: before == Running, afterItLeft: before == Left);
    }

    /// <summary>The subject has said that it left; <see langword="false"/> if it had said already that it runs.</summary>
    public bool TryMarkLeft() => Interlocked.CompareExchange(ref _state, Left, Waiting) == Waiting;
}
