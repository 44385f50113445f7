using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// One deployment's refusals in the log, in the words the caller was told: a burst of ten, then at most ten a second, so that
/// overload cannot flood the log. The rest is counted, and the count is logged at most once a second and once after the last one.
/// Logged and counted together are exactly the refusals.
/// </summary>
internal sealed class RefusalLog : IDisposable
{
    private const int Burst = 10;
    private const int PerSecond = 10;

    private static readonly TimeSpan ReportAfter = TimeSpan.FromSeconds(1);

    private readonly PatientLogger _logger;
    private readonly string _application;
    private readonly string _deployment;
    private readonly TimeProvider _time;
    private readonly ITimer _report;
    private readonly long _interval;

    /// <summary>When the allowance is full again, in timestamps; each line moves it on by one interval.</summary>
    private long _fullAt;

    private long _leftOut;
    private long _leftOutSince;

    public RefusalLog(ILogger logger, string application, string deployment, TimeProvider time)
    {
        _logger = new(logger);
        _application = application;
        _deployment = deployment;
        _time = time;
        _interval = time.TimestampFrequency / PerSecond;
        _fullAt = time.GetTimestamp();
        _report = time.CreateTimer(static log => ((RefusalLog)log!).Report(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Logs one refusal or counts it; <paramref name="describe"/> runs only for a line that is written.</summary>
    public void Write<TRefusal>(TRefusal refusal, Func<TRefusal, string> describe)
    {
        if (!_logger.IsEnabled(LogLevel.Warning))
        {
            return;
        }

        if (TryTakeAllowance())
        {
            Log.RequestRefused(_logger, describe(refusal));
        }
        else if (Interlocked.Increment(ref _leftOut) == 1)
        {
            // Nothing was pending, so no timer runs. After disposal none will, and the count goes out at once.
            Volatile.Write(ref _leftOutSince, _time.GetTimestamp());
            if (!_report.Change(ReportAfter, Timeout.InfiniteTimeSpan))
            {
                Report();
            }
        }
    }

    /// <summary>Reports what is pending; the deployment is gone, or the server ends.</summary>
    public void Dispose()
    {
        _report.Dispose();
        Report();
    }

    private bool TryTakeAllowance()
    {
        long now = _time.GetTimestamp();
        long fullAt = Volatile.Read(ref _fullAt);
        while (true)
        {
            long next = Math.Max(fullAt, now) + _interval;
            if (next - now > Burst * _interval)
            {
                return false;
            }

            long seen = Interlocked.CompareExchange(ref _fullAt, next, fullAt);
            if (seen == fullAt)
            {
                return true;
            }

            fullAt = seen;
        }
    }

    private void Report()
    {
        TimeSpan since = _time.GetElapsedTime(Volatile.Read(ref _leftOutSince));
        long count = Interlocked.Exchange(ref _leftOut, 0);
        if (count > 0)
        {
            Log.RefusalsLeftOut(_logger, count, _deployment, _application, since.TotalSeconds);
        }
    }
}
