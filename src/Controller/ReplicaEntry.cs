using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>A replica and what the controller knows of it.</summary>
internal sealed class ReplicaEntry(Replica replica, ReplicaCode code, long startedAt)
{
    /// <summary>Failed checks in a row that make a replica unhealthy.</summary>
    public const int MostStrikes = 3;

    /// <summary>What was well for so long after it was up can work: what becomes of it later is no crash. It is the longest back-off, so that what is not held against a deployment comes no more often than what is.</summary>
    public static readonly TimeSpan Proven = BackOff.Longest;

    public Replica Replica => replica;

    /// <summary>What it is made from.</summary>
    public ReplicaCode Code => code;

    public long StartedAt => startedAt;

    /// <summary>When to say that it still starts; a timestamp.</summary>
    public long WarnAt { get; set; }

    /// <summary>When it was up; a timestamp.</summary>
    public long UpAt { get; private set; }

    /// <summary>When it was last known to be well: what has gone wrong since may have done so at once.</summary>
    public long WellAt { get; private set; }

    /// <summary>It is up and waits to be admitted.</summary>
    public bool IsReady { get; set; }

    /// <summary>It refused a value that others of its code have taken: another takes its place.</summary>
    public bool MustGo { get; set; }

    /// <summary>Its process has ended: what is left of it is cleared away, and who takes its place has its rank.</summary>
    public bool HasDied { get; set; }

    /// <summary>It drains because fewer are wanted.</summary>
    public bool ScalesDown { get; set; }

    /// <summary>The <c>user_config</c> that it has taken.</summary>
    public string? UserConfig { get; set; }

    /// <summary>The <c>user_config</c> that it was handed last while it ran, taken or not.</summary>
    public string? HandedUserConfig { get; set; }

    /// <summary>When its health is to be checked; 0 = it has no check, or one runs.</summary>
    public long CheckAt { get; set; }

    /// <summary>When the last check began; a timestamp.</summary>
    public long CheckedAt { get; set; }

    /// <summary>When it last took no connection, while no later check has found it well: its checks follow each other quickly. A timestamp; 0 = it is not doubted.</summary>
    public long DoubtedAt { get; set; }

    /// <summary>Failed checks in a row.</summary>
    public int Strikes { get; set; }

    public void IsUp(long now)
    {
        IsReady = true;
        UpAt = now;
        WellAt = now;
    }

    public void WasWell(long at) => WellAt = at;

    /// <summary>Whether it has shown that it can work: it has answered a request, or was well for long enough. (Only a process can be up and unable to work.)</summary>
    public bool IsProven(TimeProvider time) => replica.Process is not { HasServed: false } || time.GetElapsedTime(UpAt, WellAt) >= Proven;
}
