using Serve.Embedded.Config;

namespace Serve.Embedded.Handles;

/// <summary>The limits in force of one deployment: immutable, swapped whole when the operator changes one.</summary>
internal sealed record DeploymentLimits
{
    public required int MaxOngoingRequests { get; init; }

    public required int MaxQueuedRequests { get; init; }

    public TimeSpan? MaxQueueWait { get; init; }

    /// <summary>Upgraded connections on each replica, which then hold no permit; <see langword="null"/> = each holds one.</summary>
    public int? MaxWebsockets { get; init; }

    public int BackpressureStatusCode { get; init; } = 503;

    public double? RetryAfterS { get; init; }

    /// <summary>Of requests whose worker died under them.</summary>
    public RetryMode Retry { get; init; }
}
