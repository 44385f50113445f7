using System.Diagnostics.Metrics;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// What is counted for every deployment in any case, and so costs nothing more when it is asked for. A deployment that is gone is gone from here, and no count falls for as long as it is there. Those who read
/// hold no lock while they do.
/// </summary>
internal sealed class MeasuredDeployments
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Application, string Name), DeploymentMeasures> _deployments = [];

    /// <summary>How many of its deployments are there, for each application.</summary>
    private readonly Dictionary<string, (HttpCounts Http, int Deployments)> _applications = new(StringComparer.Ordinal);

    public MeasuredDeployments(MetricFamilies families)
    {
        families.Counter(InstrumentNames.HttpRequests, "{request}", "HTTP requests that were answered.", HttpRequests);
        families.Counter(InstrumentNames.HttpErrors, "{request}", "HTTP requests that were answered with 400 or more, or whose client left.", HttpErrors);
        families.Counter(InstrumentNames.Arrived, "{request}", "Requests that came to a deployment, over HTTP or from code.", () => Each(static d => d.Totals.Arrived));
        families.Counter(InstrumentNames.Completed, "{request}", "Requests whose handler has ended well.", () => Each(static d => d.Totals.Completed));
        families.Counter(InstrumentNames.Failed, "{request}", "Requests whose handler threw, or whose worker died.", () => Each(static d => d.Totals.Failed));
        families.Counter(InstrumentNames.Cancelled, "{request}", "Requests that ended before their handler did, by reason.", Cancelled);
        families.Counter(InstrumentNames.Refused, "{request}", "Requests that no replica was given, by reason.", Refused);
        families.Gauge(InstrumentNames.Queued, "{request}", "Requests that wait in a deployment's queues.", () => Each(static d => d.Queued));
        families.Gauge(InstrumentNames.Ongoing, "{request}", "Requests that a replica works on.", Ongoing);
        families.Counter(InstrumentNames.ReplicaStarts, "{replica}", "Replicas that have come up.", () => Each(static d => d.Starts));
        families.Counter(InstrumentNames.ReplicaRestarts, "{replica}", "Replicas that another had to take the place of, by reason.", Restarts);
        families.Counter(InstrumentNames.HealthCheckFailures, "{check}", "Health checks that have failed.", () => Each(static d => d.HealthCheckFailures));
    }

    /// <summary>What became of requests that were for no application.</summary>
    public HttpCounts Elsewhere { get; private set; } = new(string.Empty);

    private DeploymentMeasures[] All
    {
        get
        {
            lock (_gate)
            {
                return [.. _deployments.Values];
            }
        }
    }

    private HttpCounts[] AllHttp
    {
        get
        {
            lock (_gate)
            {
                return [Elsewhere, .. _applications.Values.Select(static a => a.Http)];
            }
        }
    }

    /// <returns>What is measured of it and of the other revisions that there are.</returns>
    public DeploymentMeasures Add(IMeasuredDeployment deployment)
    {
        lock (_gate)
        {
            if (!_deployments.TryGetValue((deployment.Application, deployment.Name), out DeploymentMeasures? measures))
            {
                (HttpCounts http, int count) = _applications.TryGetValue(deployment.Application, out (HttpCounts, int) application) ? application : (new(deployment.Application), 0);
                _applications[deployment.Application] = (http, count + 1);
                _deployments[(deployment.Application, deployment.Name)] = measures = new(deployment.Application, deployment.Name, http);
            }

            measures.Add(deployment);
            return measures;
        }
    }

    public void Remove(IMeasuredDeployment deployment)
    {
        lock (_gate)
        {
            if (!_deployments.TryGetValue((deployment.Application, deployment.Name), out DeploymentMeasures? measures) || !measures.Remove(deployment))
            {
                return;
            }

            _deployments.Remove((deployment.Application, deployment.Name));
            (HttpCounts http, int count) = _applications[deployment.Application];
            if (count == 1)
            {
                _applications.Remove(deployment.Application);
            }
            else
            {
                _applications[deployment.Application] = (http, count - 1);
            }
        }
    }

    /// <summary>The server has ended, and the meter may be the host's.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _deployments.Clear();
            _applications.Clear();
            Elsewhere = new(string.Empty);
        }
    }

    public IEnumerable<(KeyValuePair<string, object?>[] Tags, StripedHistogram Histogram)> HttpLatency() =>
        Http().Where(static c => !c.Latency.IsEmpty).Select(static c => (c.Tags(InstrumentNames.StatusCodeTag), c.Latency));

    /// <summary>One histogram of each deployment.</summary>
    public IEnumerable<(KeyValuePair<string, object?>[] Tags, StripedHistogram Histogram)> Histograms(Func<DeploymentMeasures, StripedHistogram> histogram) =>
        All.Select(d => (d.Tags.All, histogram(d))).Where(static h => !h.Item2.IsEmpty);

    private IEnumerable<HttpCount> Http() => AllHttp.SelectMany(static a => a.Read());

    private IEnumerable<Measurement<long>> HttpRequests() => Http().Select(static c => new Measurement<long>(c.Requests, c.Tags(InstrumentNames.StatusCodeTag)));

    private IEnumerable<Measurement<long>> HttpErrors() => Http().Where(static c => c.IsError).Select(static c => new Measurement<long>(c.Requests, c.Tags(InstrumentNames.ErrorCodeTag)));

    private IEnumerable<Measurement<long>> Cancelled()
    {
        foreach (DeploymentMeasures deployment in All)
        {
            RequestTotals totals = deployment.Totals;
            yield return new(totals.Cancelled, deployment.Tags.With(InstrumentNames.ReasonTag, "client_left"));
            yield return new(totals.TimedOut, deployment.Tags.With(InstrumentNames.ReasonTag, "timed_out"));
        }
    }

    private IEnumerable<Measurement<long>> Refused()
    {
        foreach (DeploymentMeasures deployment in All)
        {
            RefusalTotals refused = deployment.Totals.Refused;
            yield return new(refused.QueueFull, deployment.Tags.With(InstrumentNames.ReasonTag, "queue_full"));
            yield return new(refused.QueueTime, deployment.Tags.With(InstrumentNames.ReasonTag, "queue_time"));
            yield return new(refused.Websockets, deployment.Tags.With(InstrumentNames.ReasonTag, "websockets"));
            yield return new(refused.Unavailable, deployment.Tags.With(InstrumentNames.ReasonTag, "unavailable"));
        }
    }

    private IEnumerable<Measurement<long>> Ongoing() =>
        All.SelectMany(static d => d.Ongoing.Select(r => new Measurement<long>(r.Requests, d.Tags.With(InstrumentNames.ReplicaTag, r.Replica))));

    private IEnumerable<Measurement<long>> Restarts() =>
        All.SelectMany(static d => d.Restarts.Select(r => new Measurement<long>(r.Count, d.Tags.With(InstrumentNames.ReasonTag, r.Reason))));

    private IEnumerable<Measurement<long>> Each(Func<DeploymentMeasures, long> value) => All.Select(d => new Measurement<long>(value(d), d.Tags.All));
}
