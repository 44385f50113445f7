using Serve.Embedded;

namespace OwnBinary;

/// <summary>One more replica whenever somebody waits, one fewer when nobody is there. Delays and bounds are the configuration's.</summary>
internal sealed class WaitingPolicy : IAutoscalingPolicy
{
    public AutoscalingDecision Decide(AutoscalingContext context) => new(
        context.QueuedRequests > 0 ? context.TargetReplicas + 1
        : context.OngoingRequests == 0 ? Math.Max(0, context.TargetReplicas - 1)
        : context.TargetReplicas);
}
