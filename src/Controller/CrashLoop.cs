namespace Serve.Embedded.Controller;

/// <summary>
/// Replicas of one deployment that, one after the other, were up and could not work (<see cref="ReplicaEntry.IsProven"/>). The first is replaced at once, since requests wait for it, and those that follow it
/// further and further apart. It outlives being at the goal, which such a replica reaches again and again: that is no health until one has shown that it can work.
/// </summary>
internal sealed class CrashLoop
{
    private readonly BackOff _backOff = new();
    private long _lastAt;
    private string _last = string.Empty;

    /// <summary>Crashes in a row.</summary>
    public int Count { get; private set; }

    /// <summary>No start before this timestamp.</summary>
    public long NotBefore => _backOff.NotBefore;

    /// <summary>What to say of it; <see langword="null"/> = one alone is no loop.</summary>
    public string? Verdict => Count <= 1 ? null
        : $"Crash loop: {Count} replicas in a row ended without having served a request. The last one: {_last}. The next start waits longer each time, up to {BackOff.Longest.TotalSeconds:0} s. "
            + $"A replica that serves a request, or is well for {ReplicaEntry.Proven.TotalSeconds:0} s, ends it.";

    /// <param name="reason">How the replica ended.</param>
    /// <param name="most">As many are a verdict.</param>
    /// <param name="time">The clock.</param>
    /// <param name="random">For the jitter.</param>
    public void Crashed(string reason, int most, TimeProvider time, Random random)
    {
        _lastAt = time.GetTimestamp();
        _last = reason;
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

    /// <summary>Whether this one decides if the loop goes on: it is up since the last crash, and has not shown yet that it can work.</summary>
    public bool HangsOn(ReplicaEntry entry) => Count > 1 && entry.UpAt > _lastAt;

    /// <summary>One that can work is gone: its place is filled at once, and the crashes stay as far apart as they are.</summary>
    public void StartNow() => _backOff.StartNow();

    public void End()
    {
        Count = 0;
        _backOff.Reset();
    }
}
