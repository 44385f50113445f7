namespace Serve.Embedded;

/// <summary>
/// The batching of one replica, for its handler to change while it runs: from <c>user_config</c> (<see cref="IReconfigurable"/>), or by what it measures. A change holds from the next batch on.
/// Thread-safe.
/// </summary>
public sealed class BatchControl
{
    private readonly int _maxConcurrentBatches;
    private int _maxBatchSize;
    private long _waitTicks;

    internal BatchControl(int maxBatchSize, TimeSpan batchWaitTimeout, int maxConcurrentBatches)
    {
        MaxBatchSize = maxBatchSize;
        BatchWaitTimeout = batchWaitTimeout;
        ArgumentOutOfRangeException.ThrowIfLessThan(maxConcurrentBatches, 1);
        _maxConcurrentBatches = maxConcurrentBatches;
    }

    /// <summary>See <see cref="BatchOptions{TRequest}.MaxBatchSize"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int MaxBatchSize
    {
        get => Volatile.Read(ref _maxBatchSize);
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            Volatile.Write(ref _maxBatchSize, value);
            Changed?.Invoke();
        }
    }

    /// <summary>See <see cref="BatchOptions{TRequest}.BatchWaitTimeout"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 0, or more than a day.</exception>
    public TimeSpan BatchWaitTimeout
    {
        get => TimeSpan.FromTicks(Volatile.Read(ref _waitTicks));
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, TimeSpan.Zero);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, TimeSpan.FromDays(1));
            Volatile.Write(ref _waitTicks, value.Ticks);
            Changed?.Invoke();
        }
    }

    /// <summary>See <see cref="BatchOptions{TRequest}.MaxConcurrentBatches"/>; it does not change.</summary>
    public int MaxConcurrentBatches => _maxConcurrentBatches;

    internal Action? Changed { get; set; }
}
