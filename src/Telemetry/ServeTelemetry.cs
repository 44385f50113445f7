using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// All that a server tells those who listen: its instruments and its spans. While nobody listens to one of them, it costs whoever would write to it a look. What is counted anyhow is not written at all,
/// but read when somebody asks.
/// </summary>
internal sealed class ServeTelemetry : IDisposable
{
    /// <summary>Where Ray Serve's own buckets end.</summary>
    private static readonly InstrumentAdvice<double> Milliseconds = new()
    {
        HistogramBucketBoundaries = [1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 5_000, 10_000, 60_000, 120_000, 300_000, 600_000],
    };

    private static readonly InstrumentAdvice<int> Sizes = new() { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024] };

    private readonly Meter _meter;
    private readonly bool _isOwnMeter;
    private readonly Histogram<double> _queueLatency;
    private readonly Histogram<double> _processingLatency;
    private readonly Histogram<int> _batchSize;
    private readonly Histogram<double> _batchWait;
    private readonly Histogram<double> _batchExecution;
    private readonly Counter<long> _replicaStarts;
    private readonly Histogram<double> _replicaStartupLatency;
    private readonly Counter<long> _healthCheckFailures;
    private readonly Counter<long> _replicaRestarts;
    private bool _isOver;

    /// <param name="meters">The host's; <see langword="null"/> = there is none.</param>
    public ServeTelemetry(IMeterFactory? meters)
    {
        _isOwnMeter = meters is null;
        _meter = meters?.Create(InstrumentNames.Meter) ?? new(InstrumentNames.Meter);
        Spans = new(InstrumentNames.Meter);
        Http = new(_meter, Milliseconds);
        Deployments = new(_meter);
        Status = new(_meter);
        _queueLatency = Histogram(InstrumentNames.QueueLatency, "How long a request waited for a replica.");
        _processingLatency = Histogram(InstrumentNames.ProcessingLatency, "How long a handler worked on a request.");
        _batchSize = _meter.CreateHistogram(InstrumentNames.BatchSize, "{request}", "Requests in a batch.", tags: null, Sizes);
        _batchWait = Histogram(InstrumentNames.BatchWait, "How long the first request of a batch waited for it.");
        _batchExecution = Histogram(InstrumentNames.BatchExecution, "How long a handler worked on a batch.");
        _replicaStarts = _meter.CreateCounter<long>(InstrumentNames.ReplicaStarts, "{replica}", "Replicas that have come up.");
        _replicaStartupLatency = Histogram(InstrumentNames.ReplicaStartupLatency, "How long a replica took to come up.");
        _healthCheckFailures = _meter.CreateCounter<long>(InstrumentNames.HealthCheckFailures, "{check}", "Health checks that have failed.");
        _replicaRestarts = _meter.CreateCounter<long>(InstrumentNames.ReplicaRestarts, "{replica}", "Replicas that another had to take the place of, by reason.");
    }

    /// <summary>For what belongs to no server: nobody can listen to it.</summary>
    public static ServeTelemetry Silent { get; } = Ended();

    public ActivitySource Spans { get; }

    public HttpInstruments Http { get; }

    public MeasuredDeployments Deployments { get; }

    public StatusInstruments Status { get; }

    /// <summary>Somebody wants to know of single calls.</summary>
    public bool HearsCalls => Spans.HasListeners() || _processingLatency.Enabled || _queueLatency.Enabled;

    /// <summary>Somebody wants to know of single batches.</summary>
    public bool HearsBatches => Spans.HasListeners() || _batchSize.Enabled || _batchWait.Enabled || _batchExecution.Enabled;

    public void Measure(IMeasuredDeployment deployment)
    {
        if (!_isOver)
        {
            Deployments.Add(deployment);
        }
    }

    public void Follow(IMeasuredStatus status)
    {
        if (!_isOver)
        {
            Status.Source = status;
        }
    }

    public void Waited(DeploymentTags tags, TimeSpan time) => _queueLatency.Record(time.TotalMilliseconds, tags.All);

    public void Worked(DeploymentTags tags, TimeSpan time) => _processingLatency.Record(time.TotalMilliseconds, tags.All);

    public void BatchEnded(DeploymentTags tags, int size, TimeSpan waited, TimeSpan worked)
    {
        _batchSize.Record(size, tags.All);
        _batchWait.Record(waited.TotalMilliseconds, tags.All);
        _batchExecution.Record(worked.TotalMilliseconds, tags.All);
    }

    public void ReplicaStarted(DeploymentTags tags, TimeSpan took)
    {
        _replicaStarts.Add(1, tags.All);
        _replicaStartupLatency.Record(took.TotalMilliseconds, tags.All);
    }

    public void HealthCheckFailed(DeploymentTags tags) => _healthCheckFailures.Add(1, tags.All);

    public void ReplicaRestarts(DeploymentTags tags, string reason) => _replicaRestarts.Add(1, tags.With(InstrumentNames.ReasonTag, reason));

    /// <summary>Nobody hears of this server any more. A meter of the host's goes with the host.</summary>
    public void Dispose()
    {
        _isOver = true;
        Deployments.Clear();
        Status.Source = null;
        Spans.Dispose();
        if (_isOwnMeter)
        {
            _meter.Dispose();
        }
    }

    private static ServeTelemetry Ended()
    {
        ServeTelemetry silent = new(meters: null);
        silent.Dispose();
        return silent;
    }

    private Histogram<double> Histogram(string name, string description) => _meter.CreateHistogram(name, "ms", description, tags: null, Milliseconds);
}
