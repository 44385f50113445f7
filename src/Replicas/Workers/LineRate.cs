namespace Serve.Embedded.Replicas.Workers;

/// <summary>Lets through so many lines in each second, and then says how many it did not.</summary>
internal sealed class LineRate(TimeProvider time, int mostPerSecond, Action<long> onLeftOut) : IDisposable
{
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private ITimer? _report;
    private long _windowStart;
    private int _passed;
    private long _leftOut;

    public bool Pass()
    {
        lock (_gate)
        {
            // While lines are left out the window ends with their report and not with a line, so that they are told of before what follows them.
            if (_leftOut == 0 && (_passed == 0 || time.GetElapsedTime(_windowStart) >= Window))
            {
                _windowStart = time.GetTimestamp();
                _passed = 0;
            }

            if (_passed < mostPerSecond)
            {
                _passed++;
                return true;
            }

            if (++_leftOut == 1)
            {
                TimeSpan rest = Window - time.GetElapsedTime(_windowStart);
                _report ??= time.CreateTimer(static rate => ((LineRate)rate!).Report(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                _report.Change(rest > TimeSpan.Zero ? rest : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
            }

            return false;
        }
    }

    /// <summary>Tells what is not told yet.</summary>
    public void Dispose()
    {
        Report();
        _report?.Dispose();
    }

    private void Report()
    {
        long leftOut;
        lock (_gate)
        {
            leftOut = _leftOut;
            _leftOut = 0;
            _passed = 0;
        }

        if (leftOut > 0)
        {
            onLeftOut(leftOut);
        }
    }
}
