namespace Serve.Embedded.Telemetry;

/// <summary>Where the buckets of a histogram end; the last of them is for what is larger than all bounds.</summary>
internal sealed class HistogramBuckets
{
    /// <summary>No histogram has more buckets.</summary>
    public const int Most = 32;

    private readonly long[] _bounds;

    /// <param name="bounds">In the unit that is shown.</param>
    /// <param name="scale">How many of what is recorded are one of these.</param>
    private HistogramBuckets(double[] bounds, long scale)
    {
        Bounds = bounds;
        Scale = scale;
        _bounds = [.. bounds.Select(b => (long)(b * scale))];
    }

    /// <summary>Of times. Ray Serve's own, and three below them: much of what is served here takes less than a millisecond.</summary>
    public static HistogramBuckets Milliseconds { get; } = new(
        [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 5_000, 10_000, 60_000, 120_000, 300_000, 600_000], TimeSpan.TicksPerMillisecond);

    /// <summary>Of starts: some of the same bounds, because every deployment has one of these, whether anybody asks it or not.</summary>
    public static HistogramBuckets Starts { get; } = new([1, 10, 100, 1_000, 10_000, 60_000, 600_000], TimeSpan.TicksPerMillisecond);

    public static HistogramBuckets Sizes { get; } = new([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024], 1);

    public IReadOnlyList<double> Bounds { get; }

    public double Scale { get; }

    public int Count => _bounds.Length + 1;

    /// <summary>The bucket that a value belongs to: most are small, and those come first.</summary>
    public int IndexOf(long value)
    {
        long[] bounds = _bounds;
        int index = 0;
        while (index < bounds.Length && value > bounds[index])
        {
            index++;
        }

        return index;
    }
}
