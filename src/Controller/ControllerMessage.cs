using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>What the controller's loop is told. Everything that changes goal or running state arrives here and is decided in order.</summary>
internal abstract record ControllerMessage
{
    /// <summary>A new goal; <paramref name="Settled"/> completes when everything runs as asked, or has failed to.</summary>
    internal sealed record Apply(IReadOnlyList<ApplicationGoal> Goal, TaskCompletionSource<ApplyOutcome> Settled) : ControllerMessage;

    internal sealed record Started(DeploymentState Deployment, Replica Replica, string? UserConfig) : ControllerMessage;

    internal sealed record StartFailed(DeploymentState Deployment, Replica Replica, Exception Error) : ControllerMessage;

    internal sealed record Reconfigured(DeploymentState Deployment, Replica Replica, string UserConfig) : ControllerMessage;

    internal sealed record ReconfigureFailed(DeploymentState Deployment, Replica Replica, string UserConfig, Exception Error) : ControllerMessage;

    internal sealed record Stopped(DeploymentState Deployment, Replica Replica) : ControllerMessage;

    /// <summary>Nobody waits for a retired deployment any more, or their time is over: its replicas end.</summary>
    internal sealed record End(DeploymentState Deployment) : ControllerMessage;

    /// <summary>Stop everything; <paramref name="Done"/> completes when nothing runs.</summary>
    internal sealed record Shutdown(TaskCompletionSource Done) : ControllerMessage;
}

/// <summary>How an applied goal ended.</summary>
/// <param name="Failures">In words for the operator; none = everything runs as asked.</param>
internal sealed record ApplyOutcome(IReadOnlyList<string> Failures);
