using Serve.Embedded.Deployments;

namespace Serve.Embedded.Handles;

/// <summary>
/// When a refused request should try again: the queue's depth over the rate at which it drains. Before the rate is known, the time that the waiting work needs:
/// mean service time x depth / permits. Jitter keeps the refused from coming back together.
/// </summary>
internal sealed class RetryAfter(ServeEnvironment environment) : IDisposable
{
    private const double Shortest = 1;
    private const double Longest = 60;
    private const double ServiceTimeWeight = 0.1;
    private const int IdleSamplesUntilRest = 10;

    private static readonly TimeSpan SampleTime = TimeSpan.FromSeconds(1);

    private readonly Lock _sampling = new();
    private readonly DrainRate _rate = new();
    private ITimer? _timer;
    private int _watching;
    private int _idleSamples;
    private double _serviceSeconds;

    /// <summary>Starts to sample the drain rate: somebody waits or was refused. It rests again by itself.</summary>
    public void Watch(AdmissionGate gate)
    {
        if (Volatile.Read(ref _watching) != 0 || Interlocked.Exchange(ref _watching, 1) != 0)
        {
            return;
        }

        lock (_sampling)
        {
            _idleSamples = 0;
            _timer ??= environment.Time.CreateTimer(
                static state =>
                {
                    (RetryAfter owner, AdmissionGate watched) = ((RetryAfter, AdmissionGate))state!;
                    owner.Sample(watched);
                },
                (this, gate),
                Timeout.InfiniteTimeSpan,
                Timeout.InfiniteTimeSpan);
            _rate.Pause();
            _rate.Sample(gate.Totals.Started, gate.Waiting);
            _timer.Change(SampleTime, SampleTime);
        }
    }

    /// <summary>A request that ran while the deployment was saturated took this long.</summary>
    public void Served(TimeSpan time)
    {
        double seconds = time.TotalSeconds;
        double mean = Volatile.Read(ref _serviceSeconds);

        // A lost update of a mean is a slightly different mean.
        Volatile.Write(ref _serviceSeconds, mean == 0 ? seconds : mean + ServiceTimeWeight * (seconds - mean));
    }

    public void Dispose()
    {
        lock (_sampling)
        {
            // Watched for good: nobody starts the timer again.
            Volatile.Write(ref _watching, 1);
            _timer?.Dispose();
        }
    }

    /// <summary>Whole seconds for a <c>Retry-After</c> header.</summary>
    /// <param name="gate">Whose queue is full.</param>
    /// <param name="fixedSeconds">The operator's own word, which is taken as it is.</param>
    public int Seconds(AdmissionGate gate, double? fixedSeconds)
    {
        if (fixedSeconds is { } seconds)
        {
            return (int)Math.Ceiling(seconds);
        }

        double served = Volatile.Read(ref _serviceSeconds);
        int depth = Math.Max(1, gate.Waiting);
        double wait;
        lock (_sampling)
        {
            wait = _rate.IsWarm && _rate.PerSecond > 0 ? depth / _rate.PerSecond
                : served > 0 ? served * depth / Math.Max(1, gate.Replicas.Sum(static r => (long)r.Permits.Limit))
                : Shortest;
        }

        return (int)Math.Clamp(Jittered(Math.Clamp(wait, Shortest, Longest), environment.Random.NextDouble()), Shortest, Longest);
    }

    /// <summary>Seconds times something from 0.8 to 1.2, rounded up.</summary>
    /// <param name="seconds">What to spread.</param>
    /// <param name="draw">From 0 up to 1.</param>
    public static int Jittered(double seconds, double draw)
    {
        // A product that is whole but for its last bit must not round up to the next second.
        const double RoundingNoise = 1e-9;
        return (int)Math.Ceiling(seconds * (0.8 + 0.4 * draw) - RoundingNoise);
    }

    private void Sample(AdmissionGate gate)
    {
        lock (_sampling)
        {
            long before = _rate.Drained;
            long drained = gate.Totals.Started;
            int waiting = gate.Waiting;
            _rate.Sample(drained, waiting);
            _idleSamples = waiting == 0 && drained == before ? _idleSamples + 1 : 0;
            if (_idleSamples >= IdleSamplesUntilRest)
            {
                _timer!.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                Volatile.Write(ref _watching, 0);
            }
        }
    }
}
