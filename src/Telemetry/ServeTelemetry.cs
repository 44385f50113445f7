using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// All that a server tells those who listen: its instruments and its spans. What is counted anyhow is not written to an instrument, but read when somebody asks; what would have to be measured for it, how long
/// something takes, is measured from when somebody asks for the first time. Until then it costs whoever would measure it a look.
/// </summary>
internal sealed class ServeTelemetry : IDisposable
{
    private const int MostCodes = 1000;

    private static readonly string?[] Codes = new string?[MostCodes];

    private readonly Meter _meter;
    private readonly bool _isOwnMeter;
    private readonly MetricFamilies _families;
    private readonly Histogram<double> _httpLatency;
    private readonly Histogram<double> _queueLatency;
    private readonly Histogram<double> _processingLatency;
    private readonly Histogram<int> _batchSize;
    private readonly Histogram<double> _batchWait;
    private readonly Histogram<double> _batchExecution;
    private readonly Histogram<double> _replicaStartupLatency;
    private bool _isOver;
    private bool _isTimed;

    /// <param name="meters">The host's; <see langword="null"/> = there is none.</param>
    public ServeTelemetry(IMeterFactory? meters)
    {
        _isOwnMeter = meters is null;
        _meter = meters?.Create(InstrumentNames.Meter) ?? new(InstrumentNames.Meter);
        _families = new(_meter);
        Spans = new(InstrumentNames.Meter);
        Deployments = new(_families);
        Status = new(_families);
        _httpLatency = _families.Times(InstrumentNames.HttpRequestLatency, "How long an HTTP request took from its headers to the end of its answer.", HistogramBuckets.Milliseconds, Deployments.HttpLatency);
        _queueLatency = _families.Times(InstrumentNames.QueueLatency, "How long a request waited for a replica.", HistogramBuckets.Milliseconds, () => Deployments.Histograms(static d => d.Waited));
        _processingLatency = _families.Times(InstrumentNames.ProcessingLatency, "How long a handler worked on a request.", HistogramBuckets.Milliseconds, () => Deployments.Histograms(static d => d.Worked));
        _batchSize = _families.Sizes(InstrumentNames.BatchSize, "{request}", "Requests in a batch.", () => Deployments.Histograms(static d => d.BatchSize));
        _batchWait = _families.Times(InstrumentNames.BatchWait, "How long the first request of a batch waited for it.", HistogramBuckets.Milliseconds, () => Deployments.Histograms(static d => d.BatchWaited));
        _batchExecution = _families.Times(InstrumentNames.BatchExecution, "How long a handler worked on a batch.", HistogramBuckets.Milliseconds, () => Deployments.Histograms(static d => d.BatchWorked));
        _replicaStartupLatency = _families.Times(InstrumentNames.ReplicaStartupLatency, "How long a replica took to come up.", HistogramBuckets.Starts, () => Deployments.Histograms(static d => d.Startup));
        _families.Counter(
            InstrumentNames.LogLinesDropped, "{line}", "Log lines that were dropped or lost because their output was slow or broken.", () => Log is { } log ? [new Measurement<long>(log.Dropped)] : []);
    }

    /// <summary>For what belongs to no server: nobody can listen to it.</summary>
    public static ServeTelemetry Silent { get; } = Ended();

    public ActivitySource Spans { get; }

    public MeasuredDeployments Deployments { get; }

    public StatusInstruments Status { get; }

    /// <summary>Where the server's log goes; <see langword="null"/> = to somebody else's.</summary>
    public LogOutput? Log { get; init; }

    /// <summary>All that is measured.</summary>
    public IReadOnlyList<MetricFamily> Families => _families.All;

    /// <summary>Somebody wants to know how long HTTP requests take.</summary>
    public bool HearsHttp => _isTimed || _httpLatency.Enabled;

    /// <summary>Somebody wants to know of single calls.</summary>
    public bool HearsCalls => _isTimed || Spans.HasListeners() || _processingLatency.Enabled || _queueLatency.Enabled;

    /// <summary>Somebody wants to know of single batches.</summary>
    public bool HearsBatches => _isTimed || Spans.HasListeners() || _batchSize.Enabled || _batchWait.Enabled || _batchExecution.Enabled;

    /// <summary>Somebody reads <see cref="Families"/>: from now on it is measured how long things take.</summary>
    public void StartTiming() => Volatile.Write(ref _isTimed, true);

    public DeploymentMeasures Measure(IMeasuredDeployment deployment) => _isOver ? DeploymentMeasures.Alone(deployment.Application, deployment.Name) : Deployments.Add(deployment);

    public void Follow(IMeasuredStatus status)
    {
        if (!_isOver)
        {
            Status.Source = status;
        }
    }

    /// <summary>An HTTP request was answered.</summary>
    /// <param name="counts">Of its application.</param>
    /// <param name="method">As the client wrote it.</param>
    /// <param name="scope">What is known of it.</param>
    /// <param name="statusCode">499 where the client left.</param>
    /// <param name="latency">Of the whole request.</param>
    public void HttpAnswered(HttpCounts counts, string method, RequestScope scope, int statusCode, TimeSpan latency)
    {
        counts.Answered(method, statusCode, scope.Route, _isTimed ? latency : null);
        if (_httpLatency.Enabled)
        {
            _httpLatency.Record(
                latency.TotalMilliseconds,
                new(InstrumentNames.RouteTag, scope.Route ?? ""),
                new(InstrumentNames.MethodTag, HttpCounts.KnownMethod(method)),
                new(InstrumentNames.ApplicationTag, scope.Application ?? ""),
                new(InstrumentNames.StatusCodeTag, TextOf(statusCode)));
        }
    }

    public void Waited(DeploymentMeasures deployment, TimeSpan time)
    {
        if (_isTimed)
        {
            deployment.Waited.Record(time);
        }

        if (_queueLatency.Enabled)
        {
            _queueLatency.Record(time.TotalMilliseconds, deployment.Tags.All);
        }
    }

    public void Worked(DeploymentMeasures deployment, TimeSpan time)
    {
        if (_isTimed)
        {
            deployment.Worked.Record(time);
        }

        if (_processingLatency.Enabled)
        {
            _processingLatency.Record(time.TotalMilliseconds, deployment.Tags.All);
        }
    }

    public void BatchEnded(DeploymentMeasures deployment, int size, TimeSpan waited, TimeSpan worked)
    {
        _batchSize.Record(size, deployment.Tags.All);
        _batchWait.Record(waited.TotalMilliseconds, deployment.Tags.All);
        _batchExecution.Record(worked.TotalMilliseconds, deployment.Tags.All);
        if (_isTimed)
        {
            deployment.BatchSize.Record(size);
            deployment.BatchWaited.Record(waited);
            deployment.BatchWorked.Record(worked);
        }
    }

    public void ReplicaStarted(DeploymentMeasures deployment, TimeSpan took)
    {
        deployment.ReplicaStarted();
        deployment.Startup.Record(took);
        _replicaStartupLatency.Record(took.TotalMilliseconds, deployment.Tags.All);
    }

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

    private static string TextOf(int code) => code is >= 0 and < MostCodes
        ? Codes[code] ??= code.ToString(CultureInfo.InvariantCulture)
        : code.ToString(CultureInfo.InvariantCulture);
}
