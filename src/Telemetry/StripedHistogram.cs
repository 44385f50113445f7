using System.Numerics;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// Counts values by their size, for many threads at once: each processor writes to a stripe of its own, which is made when it first does, so that a histogram of what never happens costs next to nothing.
/// Nothing in it ever falls.
/// </summary>
internal sealed class StripedHistogram(HistogramBuckets buckets)
{
    /// <summary>Where there are more processors than this, some share: each stripe costs memory in every histogram.</summary>
    private const int MostStripes = 8;

    /// <summary>Keeps what two processors write to out of one cache line.</summary>
    private const int Padding = 8;

    private static readonly int Mask = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Min(Environment.ProcessorCount, MostStripes)) - 1;

    private long[]?[]? _stripes;

    public HistogramBuckets Buckets => buckets;

    /// <summary>Nothing was ever recorded.</summary>
    public bool IsEmpty => Volatile.Read(ref _stripes) is null;

    public long Count
    {
        get
        {
            Span<long> counts = stackalloc long[HistogramBuckets.Most];
            return Read(counts).Count;
        }
    }

    public void Record(TimeSpan time) => Record(time.Ticks);

    public void Record(long value)
    {
        long[]?[] stripes = Volatile.Read(ref _stripes) ?? Made(ref _stripes, new long[]?[Mask + 1]);
        ref long[]? slot = ref stripes[Thread.GetCurrentProcessorId() & Mask];
        long[] stripe = Volatile.Read(ref slot) ?? Made(ref slot, new long[buckets.Count + 1 + Padding]);
        Interlocked.Increment(ref stripe[buckets.IndexOf(value)]);
        Interlocked.Add(ref stripe[buckets.Count], value);
    }

    /// <summary>How many values are in each bucket, and in all together, and what they come to.</summary>
    /// <param name="counts">Room for <see cref="HistogramBuckets.Count"/> of them.</param>
    public (long Count, double Sum) Read(Span<long> counts)
    {
        counts = counts[..buckets.Count];
        counts.Clear();
        long all = 0;
        long sum = 0;
        foreach (long[]? slot in Volatile.Read(ref _stripes) ?? [])
        {
            if (slot is { } stripe)
            {
                for (int i = 0; i < counts.Length; i++)
                {
                    long count = Volatile.Read(ref stripe[i]);
                    counts[i] += count;
                    all += count;
                }

                sum += Volatile.Read(ref stripe[buckets.Count]);
            }
        }

        return (all, sum / buckets.Scale);
    }

    private static T Made<T>(ref T? place, T made)
        where T : class => Interlocked.CompareExchange(ref place, made, null) ?? made;
}
