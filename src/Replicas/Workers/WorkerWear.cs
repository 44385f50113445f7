using System.Globalization;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>When a worker has lived long enough: by requests, by age, by memory. Each limit is a tenth more or less for each worker, so that not all go at once.</summary>
internal sealed class WorkerWear(WorkerSettings settings, TimeProvider time, Random random) : IDisposable
{
    private const long Mebibyte = 1024 * 1024;

    private readonly TaskCompletionSource<string> _isOut = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _maxRequests = settings.MaxRequests is { } requests ? Math.Max(1, (long)Jittered(requests, random)) : long.MaxValue;
    private readonly double _maxRss = settings.MaxRssMb is { } rss ? Jittered(rss, random) : double.PositiveInfinity;
    private readonly TimeSpan? _maxAge = settings.MaxAge is { } age ? TimeSpan.FromSeconds(Jittered(age.TotalSeconds, random)) : null;
    private long _requests;
    private ITimer? _timer;

    /// <summary>Completes with the reason.</summary>
    public Task<string> IsOut => _isOut.Task;

    /// <summary>It is up: its age counts from here.</summary>
    public void Begin()
    {
        if (_maxAge is { } age)
        {
            _timer = time.CreateTimer(
                static wear => ((WorkerWear)wear!).Out($"it is older than max_replica_age_s = {((WorkerWear)wear).Seconds}"), this, age, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>It has answered a request.</summary>
    public void Served()
    {
        if (Interlocked.Increment(ref _requests) == _maxRequests)
        {
            Out($"it has had {_maxRequests} requests (max_requests_per_replica = {settings.MaxRequests})");
        }
    }

    /// <summary>It has so much memory in use; <see langword="null"/> = nobody knows.</summary>
    public void Uses(long? bytes)
    {
        if (bytes is { } used && used > _maxRss * Mebibyte)
        {
            Out(string.Create(CultureInfo.InvariantCulture, $"it uses {used / Mebibyte} MiB of memory (max_replica_rss_mb = {settings.MaxRssMb})"));
        }
    }

    public void Dispose() => _timer?.Dispose();

    private string Seconds => settings.MaxAge!.Value.TotalSeconds.ToString(CultureInfo.InvariantCulture);

    private void Out(string reason) => _isOut.TrySetResult(reason);

    private static double Jittered(double limit, Random random) => limit * (0.9 + (0.2 * random.NextDouble()));
}
