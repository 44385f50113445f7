namespace Serve.Embedded.Client;

/// <summary>
/// What keeps retries from becoming a storm. Each request puts in a share of a retry, which fades within some ten seconds if nobody takes it: who sends much may retry much, but not with what it saved up
/// through a quiet hour. For who sends little there is a spare purse that fills with time, is full at first, and never holds more than <c>burst</c>.
/// So in any time retries are at most <c>burst + perSecond * seconds + ratio * requests</c>, however many requests fail.
/// </summary>
internal sealed class RetryBudget
{
    private const double FadeSeconds = 10;

    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly double _ratio;
    private readonly double _perSecond;
    private readonly double _burst;
    private double _shares;
    private double _spare;
    private long _asOf;

    public RetryBudget(double ratio, double perSecond, double burst, TimeProvider time)
    {
        _time = time;
        _ratio = ratio;
        _perSecond = perSecond;
        _burst = burst;
        _spare = burst;
        _asOf = time.GetTimestamp();
    }

    /// <summary>A request begins.</summary>
    public void Deposit()
    {
        lock (_lock)
        {
            PassTime_NeedsLock();
            _shares += _ratio;
        }
    }

    /// <summary>Whether there may be one retry more; takes it out if so.</summary>
    public bool TryWithdraw()
    {
        lock (_lock)
        {
            PassTime_NeedsLock();
            if (_shares + _spare < 1)
            {
                return false;
            }

            // What fades is spent first.
            double taken = Math.Min(_shares, 1);
            _shares -= taken;
            _spare -= 1 - taken;
            return true;
        }
    }

    /// <summary>The clock is read under the lock, so that no time passes twice.</summary>
    private void PassTime_NeedsLock()
    {
        long now = _time.GetTimestamp();
        double seconds = (double)(now - _asOf) / _time.TimestampFrequency;
        _asOf = now;
        _shares *= Math.Exp(-seconds / FadeSeconds);
        _spare = Math.Min(_burst, _spare + (seconds * _perSecond));
    }
}
