namespace Serve.Embedded;

/// <summary>What becomes of the load that was seen during the look-back period.</summary>
public enum AggregationFunction
{
    /// <summary>Its average, each moment counting for as long as it lasted.</summary>
    Mean,

    /// <summary>The most that there was.</summary>
    Max,

    /// <summary>The least that there was.</summary>
    Min,
}
