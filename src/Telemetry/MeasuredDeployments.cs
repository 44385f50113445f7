using System.Diagnostics.Metrics;

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
/// What is counted for every deployment in any case, and so costs nothing more when it is asked for. Two revisions of a deployment are one to whoever measures, and when the older one has gone its counts
/// stay: no count falls for as long as the deployment is there.
/// </summary>
internal sealed class MeasuredDeployments
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Application, string Name), Entry> _entries = [];

    public MeasuredDeployments(Meter meter)
    {
        meter.CreateObservableCounter(InstrumentNames.Arrived, () => Totals(static t => t.Arrived), "{request}", "Requests that came to a deployment, over HTTP or from code.");
        meter.CreateObservableCounter(InstrumentNames.Completed, () => Totals(static t => t.Completed), "{request}", "Requests whose handler has ended well.");
        meter.CreateObservableCounter(InstrumentNames.Failed, () => Totals(static t => t.Failed), "{request}", "Requests whose handler threw, or whose worker died.");
        meter.CreateObservableCounter(InstrumentNames.Cancelled, Cancelled, "{request}", "Requests that ended before their handler did, by reason.");
        meter.CreateObservableCounter(InstrumentNames.Refused, Refused, "{request}", "Requests that no replica was given, by reason.");
        meter.CreateObservableGauge(InstrumentNames.Queued, () => Each(static (e, to) => to.Add(new(e.Deployments.Sum(static d => d.Queued), e.Tags.All))), "{request}", "Requests that wait in a deployment's queues.");
        meter.CreateObservableGauge(InstrumentNames.Ongoing, Ongoing, "{request}", "Requests that a replica works on.");
    }

    public void Add(IMeasuredDeployment deployment)
    {
        lock (_gate)
        {
            if (!_entries.TryGetValue((deployment.Application, deployment.Name), out Entry? entry))
            {
                _entries[(deployment.Application, deployment.Name)] = entry = new(new(deployment.Application, deployment.Name));
            }

            entry.Deployments.Add(deployment);
        }
    }

    public void Remove(IMeasuredDeployment deployment)
    {
        lock (_gate)
        {
            if (_entries.TryGetValue((deployment.Application, deployment.Name), out Entry? entry) && entry.Deployments.Remove(deployment))
            {
                entry.Former += deployment.Totals;
                if (entry.Deployments.Count == 0)
                {
                    _entries.Remove((deployment.Application, deployment.Name));
                }
            }
        }
    }

    /// <summary>The server has ended, and the meter may be the host's.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _entries.Clear();
        }
    }

    private List<Measurement<long>> Totals(Func<RequestTotals, long> count) => Each((e, to) => to.Add(new(count(e.Totals), e.Tags.All)));

    private List<Measurement<long>> Cancelled() => Each(static (e, to) =>
    {
        RequestTotals totals = e.Totals;
        to.Add(new(totals.Cancelled, e.Tags.With(InstrumentNames.ReasonTag, "client_left")));
        to.Add(new(totals.TimedOut, e.Tags.With(InstrumentNames.ReasonTag, "timed_out")));
    });

    private List<Measurement<long>> Refused() => Each(static (e, to) =>
    {
        RefusalTotals refused = e.Totals.Refused;
        to.Add(new(refused.QueueFull, e.Tags.With(InstrumentNames.ReasonTag, "queue_full")));
        to.Add(new(refused.QueueTime, e.Tags.With(InstrumentNames.ReasonTag, "queue_time")));
        to.Add(new(refused.Websockets, e.Tags.With(InstrumentNames.ReasonTag, "websockets")));
        to.Add(new(refused.Unavailable, e.Tags.With(InstrumentNames.ReasonTag, "unavailable")));
    });

    private List<Measurement<long>> Ongoing() => Each(static (e, to) =>
    {
        foreach ((string replica, int requests) in e.Deployments.SelectMany(static d => d.Ongoing))
        {
            to.Add(new(requests, e.Tags.With(InstrumentNames.ReplicaTag, replica)));
        }
    });

    private List<Measurement<long>> Each(Action<Entry, List<Measurement<long>>> measure)
    {
        List<Measurement<long>> measured = [];
        lock (_gate)
        {
            foreach (Entry entry in _entries.Values)
            {
                measure(entry, measured);
            }
        }

        return measured;
    }

    private sealed class Entry(DeploymentTags tags)
    {
        public DeploymentTags Tags => tags;

        public List<IMeasuredDeployment> Deployments { get; } = [];

        /// <summary>Of those that have gone.</summary>
        public RequestTotals Former { get; set; }

        public RequestTotals Totals => Deployments.Aggregate(Former, static (sum, deployment) => sum + deployment.Totals);
    }
}
