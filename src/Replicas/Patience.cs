using System.Numerics;

namespace Serve.Embedded.Replicas;

/// <summary>
/// Whether a thread that waits looks again and again for a moment before it sleeps. To sleep and be woken takes longer than what comes next where requests follow each other closely, on a virtual
/// machine by far: there it halves the time that a request takes. Where they come now and then it would only burn the processor. So it depends on how long the last waits were.
/// </summary>
internal struct Patience
{
    /// <summary>How long it looks, in ticks: 100 µs, about what sleeping and being woken can take.</summary>
    public static readonly long Longest = TimeProvider.System.TimestampFrequency / 10_000;

    /// <summary>Who gets the processor back later than this, 1 ms, has shared it with somebody who does not stop.</summary>
    private static readonly long LongestLoss = TimeProvider.System.TimestampFrequency / 1_000;

    /// <summary>How long nobody looks after that, 200 ms: looking would use up a share of the processor that there is work for.</summary>
    private static readonly long Pause = TimeProvider.System.TimestampFrequency / 5;

    /// <summary>Of the last eight waits. A request that comes alone is one short wait, for its worker, and a long one, for the next request: that is not enough.</summary>
    private const int FewestShort = 6;

    /// <summary>One bit for each of them.</summary>
    private byte _short;
    private long _pausesUntil;

    /// <summary>Whether the next wait is probably a short one, and looking takes nothing from anybody.</summary>
    public readonly bool ExpectsSoon(long now) => BitOperations.PopCount(_short) >= FewestShort && now >= _pausesUntil;

    /// <summary>It has looked, let others have the processor, and has it back.</summary>
    public void HasLooked(long from, long to)
    {
        if (to - from > LongestLoss)
        {
            _pausesUntil = to + Pause;
        }
    }

    /// <summary>A wait is over.</summary>
    public void HasWaited(long from, long to) => _short = (byte)((_short << 1) | (to - from <= Longest ? 1 : 0));
}
