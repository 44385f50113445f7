namespace Serve.Embedded;

/// <summary>
/// Says how many replicas a deployment shall have. Register one with <see cref="DeploymentRegistry.AddAutoscalingPolicy"/>; it is asked several times a second for each deployment that names it.
/// </summary>
public interface IAutoscalingPolicy
{
    /// <summary>
    /// The number that is wished for now. The deployment's factors, delays and bounds are applied afterwards, so a policy need not know them. It runs in the controller's loop, which does
    /// nothing else meanwhile: compute, and wait for nothing.
    /// </summary>
    /// <param name="context">What is known of the deployment.</param>
    /// <exception cref="Exception">Anything thrown is written to the log and shown in the status, and the number of replicas stays as it is.</exception>
    AutoscalingDecision Decide(AutoscalingContext context);
}

/// <summary>What a policy wishes for.</summary>
/// <param name="Replicas">How many replicas, 0 or more; a fraction is rounded up at the end.</param>
/// <param name="State">Handed to the policy the next time it is asked about this deployment; lost when the server stops.</param>
public readonly record struct AutoscalingDecision(double Replicas, object? State = null);

/// <summary>What a policy is told about one deployment.</summary>
public sealed record AutoscalingContext
{
    /// <summary>The application's name.</summary>
    public required string Application { get; init; }

    /// <summary>The deployment's name.</summary>
    public required string Deployment { get; init; }

    /// <summary>Replicas that take requests now.</summary>
    public required int CurrentReplicas { get; init; }

    /// <summary>Replicas that there shall be, by the last decision; some may still be starting.</summary>
    public required int TargetReplicas { get; init; }

    /// <summary>
    /// Requests at the same time, over the look-back period as <see cref="AutoscalingOptions.Aggregation"/> says: those that ran, those that waited, and, as if they had run, those that were refused.
    /// </summary>
    public required double TotalRequests { get; init; }

    /// <summary>Requests that run now.</summary>
    public required int OngoingRequests { get; init; }

    /// <summary>Requests that wait now, in all queues of the deployment.</summary>
    public required int QueuedRequests { get; init; }

    /// <summary>Requests per second that were refused, on average over the look-back period.</summary>
    public required double RefusedPerSecond { get; init; }

    /// <summary>The deployment's <c>target_ongoing_requests</c>.</summary>
    public required double TargetOngoingRequests { get; init; }

    /// <summary>The deployment's <c>min_replicas</c>.</summary>
    public required int MinReplicas { get; init; }

    /// <summary>The deployment's <c>max_replicas</c>, or what the box holds, if that is less.</summary>
    public required int MaxReplicas { get; init; }

    /// <summary>When the target last went up; <see langword="null"/> = not since the deployment began.</summary>
    public DateTimeOffset? LastScaleUp { get; init; }

    /// <summary>When the target last went down; <see langword="null"/> = not since the deployment began.</summary>
    public DateTimeOffset? LastScaleDown { get; init; }

    /// <summary>The time by the server's clock.</summary>
    public required DateTimeOffset Now { get; init; }

    /// <summary>What the policy's last decision for this deployment handed on; <see langword="null"/> the first time.</summary>
    public object? State { get; init; }
}
