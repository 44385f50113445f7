using Serve.Embedded.Config;

namespace Serve.Embedded.Controller.Scaling;

/// <summary>How many replicas a deployment shall have: a number, or what its load asks for.</summary>
/// <param name="NumReplicas">The number; where the load decides, <c>min_replicas</c>.</param>
/// <param name="Autoscaling"><see langword="null"/> = the number stands.</param>
internal sealed record ScaleGoal(int NumReplicas, AutoscalingGoal? Autoscaling)
{
    /// <summary>Lays what the operator wrote over what the code declares. <c>autoscaling_config</c> takes the place of the code's as a whole, and a number that of both.</summary>
    public static ScaleGoal Of(DeploymentConfig? written, DeploymentOptions code)
    {
        if (written?.NumReplicas?.Fixed is int replicas)
        {
            return new(replicas, null);
        }

        bool isAuto = written?.NumReplicas is not null;
        AutoscalingGoal? goal =
            written?.Autoscaling is { } config ? AutoscalingGoal.Of(config, isAuto)
            : code.Autoscaling is { } options ? AutoscalingGoal.Of(options)
            : isAuto ? AutoscalingGoal.Of(new AutoscalingConfig(), isAuto)
            : null;
        return new(goal?.MinReplicas ?? code.NumReplicas, goal);
    }
}

/// <summary>How a deployment's replicas follow its load. Nothing is left open.</summary>
internal sealed record AutoscalingGoal
{
    public int MinReplicas { get; init; } = 1;

    /// <summary><see langword="null"/> = not chosen.</summary>
    public int? InitialReplicas { get; init; }

    public int MaxReplicas { get; init; } = 1;

    /// <summary>Nobody chose <see cref="MaxReplicas"/>: it is the top of <c>"auto"</c>.</summary>
    public bool IsMaxOpen { get; init; }

    public double TargetOngoingRequests { get; init; } = 2;

    public TimeSpan LookBackPeriod { get; init; } = TimeSpan.FromSeconds(30);

    public TimeSpan UpscaleDelay { get; init; } = TimeSpan.FromSeconds(30);

    public TimeSpan DownscaleDelay { get; init; } = TimeSpan.FromSeconds(600);

    public TimeSpan DownscaleToZeroDelay { get; init; } = TimeSpan.FromSeconds(600);

    public double UpscalingFactor { get; init; } = 1;

    public double DownscalingFactor { get; init; } = 1;

    public AggregationFunction Aggregation { get; init; } = AggregationFunction.Mean;

    /// <summary>The name of a registered policy; <see langword="null"/> = the built-in one.</summary>
    public string? Policy { get; init; }

    public static AutoscalingGoal Of(AutoscalingConfig config, bool isAuto) => new()
    {
        MinReplicas = config.MinReplicas,
        InitialReplicas = config.InitialReplicas,
        MaxReplicas = config.MaxReplicas ?? (isAuto ? AutoscalingRules.MostAutoReplicas : 1),
        IsMaxOpen = isAuto && config.MaxReplicas is null,
        TargetOngoingRequests = config.TargetOngoingRequests,
        LookBackPeriod = config.LookBackPeriod,
        UpscaleDelay = config.UpscaleDelay,
        DownscaleDelay = config.DownscaleDelay,
        DownscaleToZeroDelay = config.DownscaleToZeroDelay ?? config.DownscaleDelay,
        UpscalingFactor = config.UpscalingFactor,
        DownscalingFactor = config.DownscalingFactor,
        Aggregation = config.Aggregation,
        Policy = config.Policy,
    };

    public static AutoscalingGoal Of(AutoscalingOptions options) => new()
    {
        MinReplicas = options.MinReplicas,
        InitialReplicas = options.InitialReplicas,
        MaxReplicas = options.MaxReplicas ?? AutoscalingRules.MostAutoReplicas,
        IsMaxOpen = options.MaxReplicas is null,
        TargetOngoingRequests = options.TargetOngoingRequests,
        LookBackPeriod = options.LookBackPeriod,
        UpscaleDelay = options.UpscaleDelay,
        DownscaleDelay = options.DownscaleDelay,
        DownscaleToZeroDelay = options.DownscaleToZeroDelay ?? options.DownscaleDelay,
        UpscalingFactor = options.UpscalingFactor,
        DownscalingFactor = options.DownscalingFactor,
        Aggregation = options.Aggregation,
        Policy = options.Policy,
    };

    /// <summary>The same with an open top cut to what the box holds; what somebody chose stays, and so does what <see cref="MinReplicas"/> and <see cref="InitialReplicas"/> ask for.</summary>
    public AutoscalingGoal CutTo(int replicas) =>
        IsMaxOpen && replicas < MaxReplicas
            ? this with { MaxReplicas = Math.Max(replicas, Math.Max(1, Math.Max(MinReplicas, InitialReplicas ?? 0))) }
            : this;
}
