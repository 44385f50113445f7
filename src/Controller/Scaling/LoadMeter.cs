namespace Serve.Embedded.Controller.Scaling;

/// <summary>What is counted of a deployment at one moment.</summary>
/// <param name="Ongoing">Requests that run now.</param>
/// <param name="Queued">Requests that wait now, in all its handles.</param>
/// <param name="Refused">Requests that have ever been refused.</param>
/// <param name="Ended">Requests whose work has ever ended, well or not.</param>
internal readonly record struct LoadSample(int Ongoing, int Queued, long Refused, long Ended);

/// <summary>A deployment's demand as the autoscaler sees it.</summary>
/// <param name="Total">Requests at the same time over the look-back period: ran, waited, and would have run had they not been refused.</param>
/// <param name="Ongoing">Requests that run now.</param>
/// <param name="Queued">Requests that wait now.</param>
/// <param name="RefusedPerSecond">On average over the look-back period.</param>
/// <param name="IsAsked">Somebody waits now, or was refused since the last reading: enough to wake a deployment that has no replica.</param>
internal readonly record struct LoadReading(double Total, int Ongoing, int Queued, double RefusedPerSecond = 0, bool IsAsked = false);

/// <summary>
/// Turns samples of one deployment into its demand. Between two samples what the first one saw held; the more often somebody samples, the finer. One thread at a time.
/// </summary>
/// <remarks>
/// Where all places are taken, those who run and wait never become more however many come, and a deployment that only counted them would stop growing when it most should. So whoever is refused
/// counts for as long as a request takes: refusals per second x mean service time, which by Little's law is the number that would have run. The mean service time comes from the same law: what
/// ran, over what ended.
/// </remarks>
internal sealed class LoadMeter(TimeSpan lookBack)
{
    private LoadWindow _window = new(lookBack);
    private LoadSample _last;
    private TimeSpan _lastAt;
    private bool _hasLast;

    /// <summary>How far it looks back. What is already known is kept when that changes.</summary>
    public TimeSpan LookBackPeriod
    {
        get => _window.Period;
        set => _window = value == _window.Period ? _window : _window.WithPeriod(value);
    }

    /// <summary>Takes a sample and says what the demand is.</summary>
    /// <param name="sample">What is counted now. What has ever been refused, or has ever ended, never becomes less.</param>
    /// <param name="now">Since some beginning, the same for all calls.</param>
    /// <param name="aggregation">What counts of the look-back period.</param>
    public LoadReading Read(LoadSample sample, TimeSpan now, AggregationFunction aggregation)
    {
        long refused = _hasLast ? sample.Refused - _last.Refused : 0;
        long ended = _hasLast ? sample.Ended - _last.Ended : 0;
        bool isAsked = sample.Queued > 0 || refused > 0;
        if (!_hasLast || now > _lastAt)
        {
            if (_hasLast)
            {
                _window.Add(new(_lastAt, now, _last.Ongoing + _last.Queued, _last.Ongoing, refused, ended));
            }

            _last = sample;
            _lastAt = now;
            _hasLast = true;
        }
        else
        {
            // No time has passed in which the counts could have a rate: they stay for the next interval.
            _last = _last with { Ongoing = sample.Ongoing, Queued = sample.Queued };
        }

        if (_window.Sum(now) is not { } sum)
        {
            return new(sample.Ongoing + sample.Queued, sample.Ongoing, sample.Queued, IsAsked: isAsked);
        }

        double seconds = (sum.To - sum.From).TotalSeconds;
        double load = aggregation switch
        {
            AggregationFunction.Max => sum.MaxLoad,
            AggregationFunction.Min => sum.MinLoad,
            _ => sum.Load,
        };
        double serviceSeconds = sum.Ongoing * seconds / Math.Max(1, sum.Ended);
        double refusedPerSecond = sum.Refused / seconds;
        return new(load + (refusedPerSecond * serviceSeconds), sample.Ongoing, sample.Queued, refusedPerSecond, isAsked);
    }
}
