using Serve.Embedded.Config;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>What the controller's loop is told. Everything that changes goal or running state arrives here and is decided in order.</summary>
internal abstract record ControllerMessage
{
    /// <summary>A new goal.</summary>
    internal sealed record Apply(ApplyRequest Request) : ControllerMessage;

    /// <summary>What was not known of a goal when it was applied, or was not possible then.</summary>
    internal sealed record Built(ApplyRequest Request, IReadOnlyList<ApplicationGoal> Goals) : ControllerMessage;

    internal sealed record Started(DeploymentState Deployment, Replica Replica, string? UserConfig) : ControllerMessage;

    internal sealed record StartFailed(DeploymentState Deployment, Replica Replica, Exception Error) : ControllerMessage;

    internal sealed record Reconfigured(DeploymentState Deployment, Replica Replica, string UserConfig) : ControllerMessage;

    internal sealed record ReconfigureFailed(DeploymentState Deployment, Replica Replica, string UserConfig, Exception Error) : ControllerMessage
    {
        /// <summary>It has the value, and is not well with it.</summary>
        public bool WasTaken { get; init; }
    }

    /// <summary>A health check has ended; <paramref name="Error"/> is <see langword="null"/> when all is well.</summary>
    internal sealed record Checked(DeploymentState Deployment, Replica Replica, string? Error) : ControllerMessage;

    /// <summary>A replica has ended by itself.</summary>
    internal sealed record Died(DeploymentState Deployment, Replica Replica, string Reason) : ControllerMessage;

    /// <summary>A replica that has not ended takes no connections.</summary>
    internal sealed record Doubted(DeploymentState Deployment, Replica Replica) : ControllerMessage;

    /// <summary>A replica has lived long enough; another shall take its place.</summary>
    internal sealed record WornOut(DeploymentState Deployment, Replica Replica, string Reason) : ControllerMessage;

    /// <summary>A handler ignores its cancellation: nobody waits for it any more.</summary>
    internal sealed record Abandoned(DeploymentState Deployment, Replica Replica) : ControllerMessage;

    internal sealed record Stopped(DeploymentState Deployment, Replica Replica) : ControllerMessage;

    /// <summary>Nobody waits for a retired deployment any more, or their time is over: its replicas end.</summary>
    internal sealed record WaitersGone(DeploymentState Deployment) : ControllerMessage;

    /// <summary>Somebody waits for a deployment that has no replica.</summary>
    internal sealed record Woken : ControllerMessage;

    /// <summary>The listeners are there: replicas may start.</summary>
    internal sealed record Begin : ControllerMessage;

    /// <summary>Time has come to look at what is due.</summary>
    internal sealed record Tick : ControllerMessage;

    /// <summary>Stop everything; <paramref name="Done"/> completes when nothing runs.</summary>
    internal sealed record Shutdown(TaskCompletionSource Done) : ControllerMessage;
}

/// <summary>A goal for all applications, and how it is to be reached.</summary>
/// <param name="Goals">Every application that shall run. One that runs and is not here is removed.</param>
/// <param name="Force">Try also what has failed already and is unchanged.</param>
/// <param name="Atomic">If one application fails, all go back.</param>
/// <param name="Box">What all replicas together may take; <see langword="null"/> = what the machine has.</param>
internal sealed record ApplyRequest(IReadOnlyList<ApplicationGoal> Goals, bool Force = false, bool Atomic = false, BoxConfig? Box = null)
{
    private readonly TaskCompletionSource _taken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<ApplyOutcome> _settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _recovered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when its routes are published: from then on a request finds its application, up or not.</summary>
    public Task Taken => _taken.Task;

    public void Take() => _taken.TrySetResult();

    /// <summary>Completes when everything runs as asked, has failed to, or the server ends.</summary>
    public Task<ApplyOutcome> Settled => _settled.Task;

    /// <summary>Completes if everything runs as asked after all, while it is still the newest goal.</summary>
    public Task Recovered => _recovered.Task;

    public void Recover() => _recovered.TrySetResult();

    public void Complete(ApplyOutcome outcome)
    {
        _taken.TrySetResult();
        _settled.TrySetResult(outcome);
    }
}

/// <summary>How an applied goal ended.</summary>
/// <param name="Failures">In words for the operator; none = everything runs as asked.</param>
internal sealed record ApplyOutcome(IReadOnlyList<string> Failures)
{
    /// <summary>The server ends: it will not be known how the goal would have ended.</summary>
    public static ApplyOutcome Stopped { get; } = new(["The server is stopping, so it will not be known whether this comes up."]);

    public bool IsStopped => ReferenceEquals(this, Stopped);
}
