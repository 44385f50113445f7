namespace Serve.Embedded;

/// <summary>
/// How many replicas follow the load, and how fast, as a deployment's code declares it. A configuration file's <c>autoscaling_config</c> takes its place as a whole. Meanings and defaults are
/// Ray Serve's. What is out of its range is refused where the deployment is registered, by <see cref="ArgumentException"/>.
/// </summary>
public sealed record AutoscalingOptions
{
    /// <summary>Never fewer, 0 to 10,000. With 0, a request that finds no replica waits and wakes one up. Default 1.</summary>
    public int MinReplicas { get; init; } = 1;

    /// <summary>How many at every deploy, <see cref="MinReplicas"/> to <see cref="MaxReplicas"/>; <see langword="null"/> (default) = <see cref="MinReplicas"/>, or as many as there are when it is deployed again.</summary>
    public int? InitialReplicas { get; init; }

    /// <summary>Never more, 1 to 10,000; <see langword="null"/> (default) = 100, or what the box holds, if that is less.</summary>
    public int? MaxReplicas { get; init; }

    /// <summary>Requests, running or waiting, that there shall be for each replica on average; 0.001 to 1,000,000. Default 2.</summary>
    public double TargetOngoingRequests { get; init; } = 2;

    /// <summary>The load that counts is that of so much time before now, 1 ms to 30 days. Default 30 s.</summary>
    public TimeSpan LookBackPeriod { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>More replicas must have been wanted for so long without a break, 0 to 30 days. From 0 it is always at once. Default 30 s.</summary>
    public TimeSpan UpscaleDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Fewer replicas must have been wanted for so long without a break, 0 to 30 days. Default 600 s.</summary>
    public TimeSpan DownscaleDelay { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary>The same for the last replica; <see langword="null"/> (default) = <see cref="DownscaleDelay"/>.</summary>
    public TimeSpan? DownscaleToZeroDelay { get; init; }

    /// <summary>How much of the way up to go at once, 0.001 to 1,000: 0.5 is half of it. Default 1.</summary>
    public double UpscalingFactor { get; init; } = 1;

    /// <summary>How much of the way down to go at once, 0.001 to 1,000. Default 1.</summary>
    public double DownscalingFactor { get; init; } = 1;

    /// <summary>What counts of the load in the look-back period. Default: its mean.</summary>
    public AggregationFunction Aggregation { get; init; } = AggregationFunction.Mean;

    /// <summary>The name of a policy of <see cref="DeploymentRegistry.AddAutoscalingPolicy"/>; <see langword="null"/> (default) = the built-in one.</summary>
    public string? Policy { get; init; }
}
