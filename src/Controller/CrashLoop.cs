namespace Serve.Embedded.Controller;

/// <summary>
/// Replicas of one deployment that, one after the other, were up and could not work (<see cref="ReplicaEntry.IsProven"/>). The first is replaced at once, since requests wait for it, and those that follow it
/// further and further apart. It outlives being at the goal, which such a replica reaches again and again.
/// </summary>
internal sealed class CrashLoop
{
    private readonly BackOff _backOff = new();
    private long _lastAt;

    /// <summary>Crashes in a row.</summary>
    public int Count { get; private set; }

    /// <summary>No start before this timestamp.</summary>
    public long NotBefore => _backOff.NotBefore;

    /// <param name="most">As many are a verdict.</param>
    /// <param name="time">The clock.</param>
    /// <param name="random">For the jitter.</param>
    public void Crashed(int most, TimeProvider time, Random random)
    {
        _lastAt = time.GetTimestamp();
        if (++Count > 1)
        {
            _backOff.Failed(Count >= most, time, random);
        }
    }

    /// <summary>A replica has shown that it can work. One that was up before the last crash says nothing of those that crash.</summary>
    public void Proven(ReplicaEntry entry)
    {
        if (entry.UpAt > _lastAt)
        {
            End();
        }
    }

    public void End()
    {
        Count = 0;
        _backOff.Reset();
    }

    /// <summary>What to say of it; <see langword="null"/> = one alone is no loop.</summary>
    public string? Verdict(string last) => Count <= 1 ? null
        : $"Crash loop: {Count} replicas in a row ended without having served a request. The last one: {last}. The next start waits longer each time, up to {BackOff.Longest.TotalSeconds:0} s.";
}
