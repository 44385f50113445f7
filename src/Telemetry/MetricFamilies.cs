using System.Diagnostics.Metrics;

namespace Serve.Embedded.Telemetry;

/// <summary>What is measured under one name, for those who read all of it at once.</summary>
/// <param name="Name">Of the instrument.</param>
/// <param name="Description">In one sentence.</param>
internal abstract record MetricFamily(string Name, string Description);

/// <param name="Name">Of the instrument.</param>
/// <param name="Description">In one sentence.</param>
/// <param name="IsCounter">It never falls.</param>
/// <param name="Read">Its values at this instant.</param>
internal sealed record NumberFamily(string Name, string Description, bool IsCounter, Func<IEnumerable<Measurement<long>>> Read) : MetricFamily(Name, Description);

/// <param name="Name">Of the instrument.</param>
/// <param name="Description">In one sentence.</param>
/// <param name="Read">Those that anything was ever recorded in, and what they are tagged with.</param>
internal sealed record HistogramFamily(string Name, string Description, Func<IEnumerable<(KeyValuePair<string, object?>[] Tags, StripedHistogram Histogram)>> Read) : MetricFamily(Name, Description);

/// <summary>Makes the instruments of a meter, and remembers each as a family, so that nothing can be measured that the one shows and the other does not.</summary>
internal sealed class MetricFamilies(Meter meter)
{
    private readonly List<MetricFamily> _all = [];

    public IReadOnlyList<MetricFamily> All => _all;

    public void Counter(string name, string? unit, string description, Func<IEnumerable<Measurement<long>>> read)
    {
        meter.CreateObservableCounter(name, read, unit, description);
        _all.Add(new NumberFamily(name, description, IsCounter: true, read));
    }

    public void Gauge(string name, string? unit, string description, Func<IEnumerable<Measurement<long>>> read)
    {
        meter.CreateObservableGauge(name, read, unit, description);
        _all.Add(new NumberFamily(name, description, IsCounter: false, read));
    }

    /// <summary>Of times, in milliseconds.</summary>
    public Histogram<double> Times(string name, string description, HistogramBuckets buckets, Func<IEnumerable<(KeyValuePair<string, object?>[] Tags, StripedHistogram Histogram)>> read)
    {
        _all.Add(new HistogramFamily(name, description, read));
        return meter.CreateHistogram(name, "ms", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = buckets.Bounds });
    }

    public Histogram<int> Sizes(string name, string unit, string description, Func<IEnumerable<(KeyValuePair<string, object?>[] Tags, StripedHistogram Histogram)>> read)
    {
        _all.Add(new HistogramFamily(name, description, read));
        return meter.CreateHistogram(name, unit, description, tags: null, new InstrumentAdvice<int> { HistogramBucketBoundaries = [.. HistogramBuckets.Sizes.Bounds.Select(b => (int)b)] });
    }
}
