namespace Serve.Embedded;

/// <summary>How requests are gathered for an <see cref="IBatchDeployment{TRequest, TResponse}"/>. Names and defaults are Ray Serve's.</summary>
/// <typeparam name="TRequest">What one caller sends.</typeparam>
public sealed record BatchOptions<TRequest>
{
    /// <summary>
    /// Requests in one batch at the most, or, where <see cref="Size"/> is set, the sum of their sizes; 1 or more. Default 10. A full batch does not wait. The handler can change it:
    /// <see cref="DeploymentContext.Batching"/>.
    /// </summary>
    public int MaxBatchSize { get; init; } = 10;

    /// <summary>
    /// How long the first request of a batch waits for others, 0 or more; with 0 a batch takes whoever is there when the one before has ended. Default 10 ms. The handler can change it:
    /// <see cref="DeploymentContext.Batching"/>.
    /// </summary>
    public TimeSpan BatchWaitTimeout { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>Batches that one replica works on at the same time, 1 or more. Default 1.</summary>
    public int MaxConcurrentBatches { get; init; } = 1;

    /// <summary>
    /// The size of one request, 0 or more, for batches that are bounded by something else than their number (tokens, pixels, bytes). Called once per request, before it is gathered; a request that is
    /// larger than <see cref="MaxBatchSize"/> by itself fails with <see cref="ArgumentException"/>. <see langword="null"/> (default) = each counts 1.
    /// </summary>
    public Func<TRequest, int>? Size { get; init; }
}
