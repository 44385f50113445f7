using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Fakes;

/// <summary>What one server tells of itself, and nobody else's: meters of a factory of its own, and a listener to its own spans.</summary>
internal sealed class TestTelemetry : IDisposable
{
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();

    public TestTelemetry() => Telemetry = new(Meters);

    public ServeTelemetry Telemetry { get; }

    private IMeterFactory Meters => _services.GetRequiredService<IMeterFactory>();

    public MetricCollector<T> Collect<T>(string instrument)
        where T : struct => Collect<T>(Meters, instrument);

    public static MetricCollector<T> Collect<T>(IMeterFactory meters, string instrument)
        where T : struct => new(meters, InstrumentNames.Meter, instrument);

    /// <summary>What an observed instrument says now: tags but for application and deployment, and value.</summary>
    public string Read(string instrument)
    {
        using MetricCollector<long> collector = Collect<long>(instrument);
        return Read(collector);
    }

    public static string Read(MetricCollector<long> collector)
    {
        collector.RecordObservableInstruments();
        return string.Join(", ", collector.GetMeasurementSnapshot(clear: true).Select(Describe).Order(StringComparer.Ordinal));
    }

    public TestSpans Trace() => new(Telemetry.Spans);

    public void Dispose()
    {
        Telemetry.Dispose();
        _services.Dispose();
    }

    private static string Describe(CollectedMeasurement<long> measurement) => string.Join(
        ' ', measurement.Tags.Where(t => t.Key is not (InstrumentNames.ApplicationTag or InstrumentNames.DeploymentTag)).Select(t => t.Value).Append(measurement.Value));
}

/// <summary>The spans of one source, once they have ended.</summary>
internal sealed class TestSpans : IDisposable
{
    private readonly ConcurrentQueue<Activity> _ended = new();
    private readonly ActivityListener _listener;

    public TestSpans(ActivitySource source)
    {
        _listener = new()
        {
            ShouldListenTo = s => s == source,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _ended.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public IReadOnlyList<Activity> Ended => [.. _ended];

    /// <summary>So many, once they have ended.</summary>
    public async Task<IReadOnlyList<Activity>> EndedAsync(int count)
    {
        while (_ended.Count < count)
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        return Ended;
    }

    public void Dispose() => _listener.Dispose();
}
