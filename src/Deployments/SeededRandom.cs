namespace Serve.Embedded.Deployments;

/// <summary>A random source that is seeded, thread-safe and takes no lock: one atomic addition and a mix (SplitMix64, Steele et al. 2014) per draw.</summary>
internal sealed class SeededRandom(ulong seed) : Random(0)
{
    /// <summary>How far each draw goes, before it is spread: SplitMix64's.</summary>
    public const ulong Step = 0x9E3779B97F4A7C15;

    private long _state = (long)seed;

    /// <summary>One whose seed nobody chose: from the system's own source, but not through a library of cryptography, whose loading a cold start would pay for.</summary>
    public static SeededRandom New() => new((ulong)Shared.NextInt64());

    /// <summary>Spreads what lies close together over all 64 bits: SplitMix64's finalizer.</summary>
    public static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>What a draw is on a scale from 0 to one less than <paramref name="limit"/>.</summary>
    public static int Below(ulong draw, int limit) => (int)(((draw >> 32) * (ulong)limit) >> 32);

    public override int Next(int maxValue)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxValue);
        return Below(Draw(), maxValue);
    }

    public override int Next(int minValue, int maxValue)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minValue, maxValue);
        return (int)(minValue + (long)(((Draw() >> 32) * (ulong)((long)maxValue - minValue)) >> 32));
    }

    public override int Next() => Next(int.MaxValue);

    public override long NextInt64() => (long)(Draw() >> 1);

    public override double NextDouble() => Sample();

    protected override double Sample() => (Draw() >> 11) * (1.0 / (1UL << 53));

    public override void NextBytes(Span<byte> buffer)
    {
        while (buffer.Length >= sizeof(ulong))
        {
            BitConverter.TryWriteBytes(buffer, Draw());
            buffer = buffer[sizeof(ulong)..];
        }

        if (buffer.IsEmpty)
        {
            return;
        }

        ulong last = Draw();
        for (int i = 0; i < buffer.Length; i++)
        {
            buffer[i] = (byte)(last >> (8 * i));
        }
    }

    public override void NextBytes(byte[] buffer) => NextBytes(buffer.AsSpan());

    private ulong Draw() => Mix((ulong)Interlocked.Add(ref _state, unchecked((long)Step)));
}
