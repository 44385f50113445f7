namespace Serve.Embedded.Telemetry;

/// <summary>A deployment as those see it who measure it.</summary>
internal interface IMeasuredDeployment
{
    string Application { get; }

    string Name { get; }

    /// <summary>What became of every request that ever came.</summary>
    RequestTotals Totals { get; }

    /// <summary>Requests that wait now.</summary>
    int Queued { get; }

    /// <summary>Requests that each replica works on now.</summary>
    IEnumerable<(string Replica, int Requests)> Ongoing { get; }
}

/// <summary>
/// What is measured of one deployment, for as long as it is there: two revisions of it are one to whoever measures, and when the older one has gone its counts stay.
/// </summary>
/// <param name="application">The application's name.</param>
/// <param name="deployment">Its own.</param>
/// <param name="http">Of the whole application.</param>
internal sealed class DeploymentMeasures(string application, string deployment, HttpCounts http)
{
    private readonly Lock _gate = new();
    private readonly List<IMeasuredDeployment> _revisions = [];
    private readonly long[] _restarts = new long[RestartReasons.Length];
    private RequestTotals _former;
    private long _starts;
    private long _healthCheckFailures;

    /// <summary>Why another replica takes the place of one.</summary>
    public static string[] RestartReasons { get; } = ["died", "unhealthy", "worn_out"];

    public string Application => application;

    public DeploymentTags Tags { get; } = new(application, deployment);

    /// <summary>What became of the application's HTTP requests.</summary>
    public HttpCounts Http => http;

    public StripedHistogram Waited { get; } = new(HistogramBuckets.Milliseconds);

    public StripedHistogram Worked { get; } = new(HistogramBuckets.Milliseconds);

    public StripedHistogram BatchSize { get; } = new(HistogramBuckets.Sizes);

    public StripedHistogram BatchWaited { get; } = new(HistogramBuckets.Milliseconds);

    public StripedHistogram BatchWorked { get; } = new(HistogramBuckets.Milliseconds);

    public StripedHistogram Startup { get; } = new(HistogramBuckets.Starts);

    public long Starts => Volatile.Read(ref _starts);

    public long HealthCheckFailures => Volatile.Read(ref _healthCheckFailures);

    /// <summary>By <see cref="RestartReasons"/>.</summary>
    public IEnumerable<(string Reason, long Count)> Restarts => RestartReasons.Select((reason, i) => (reason, Volatile.Read(ref _restarts[i])));

    public RequestTotals Totals
    {
        get
        {
            lock (_gate)
            {
                return _revisions.Aggregate(_former, static (sum, revision) => sum + revision.Totals);
            }
        }
    }

    public int Queued => Revisions.Sum(static r => r.Queued);

    public IEnumerable<(string Replica, int Requests)> Ongoing => Revisions.SelectMany(static r => r.Ongoing);

    private IMeasuredDeployment[] Revisions
    {
        get
        {
            lock (_gate)
            {
                return [.. _revisions];
            }
        }
    }

    /// <summary>What belongs to no server.</summary>
    public static DeploymentMeasures Alone(string application, string deployment) => new(application, deployment, new(application));

    public void Add(IMeasuredDeployment revision)
    {
        lock (_gate)
        {
            _revisions.Add(revision);
        }
    }

    /// <returns>Whether it was the last.</returns>
    public bool Remove(IMeasuredDeployment revision)
    {
        lock (_gate)
        {
            if (_revisions.Remove(revision))
            {
                _former += revision.Totals;
            }

            return _revisions.Count == 0;
        }
    }

    public void ReplicaStarted() => Interlocked.Increment(ref _starts);

    public void HealthCheckFailed() => Interlocked.Increment(ref _healthCheckFailures);

    public void ReplicaRestarts(string reason) => Interlocked.Increment(ref _restarts[Array.IndexOf(RestartReasons, reason)]);
}
