namespace Serve.Embedded.Controller;

/// <summary>
/// When starts may be tried again after some have failed: 0.1 s, twice as long after each further round, a fifth more or less; at most a second as long as somebody waits for the
/// verdict on the deployment, and a minute after it.
/// </summary>
/// <remarks>A round is what is tried at the same time: ten replicas that fail together are one reason to wait, not ten.</remarks>
internal sealed class BackOff
{
    public static readonly TimeSpan First = TimeSpan.FromMilliseconds(100);
    public static readonly TimeSpan LongestBeforeVerdict = TimeSpan.FromSeconds(1);
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(60);

    private int _rounds;

    /// <summary>A timestamp; 0 = at once.</summary>
    public long NotBefore { get; private set; }

    public void Failed(bool verdict, TimeProvider time, Random random)
    {
        long now = time.GetTimestamp();
        if (NotBefore > now)
        {
            return;
        }

        double seconds = Math.Min((verdict ? Longest : LongestBeforeVerdict).TotalSeconds, First.TotalSeconds * Math.Pow(2, Math.Min(_rounds, 30)));
        _rounds++;
        NotBefore = now + (long)(seconds * (0.8 + 0.4 * random.NextDouble()) * time.TimestampFrequency);
    }

    /// <summary>There is reason not to wait this time.</summary>
    public void StartNow() => NotBefore = 0;

    public void Reset()
    {
        _rounds = 0;
        NotBefore = 0;
    }
}
