using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Controller;

/// <summary>
/// What the controller does to replicas that takes time. Every act returns at once and tells the controller's loop how it ended, so that a
/// simulation can put its own acts here and decide when, and how, they end.
/// </summary>
internal interface IReplicaActs
{
    /// <summary>Makes the handler, hands it its <c>user_config</c> and checks its health once. Tells <see cref="ControllerMessage.Started"/> or <see cref="ControllerMessage.StartFailed"/>.</summary>
    void Start(DeploymentState deployment, Replica replica, ReplicaStart start, IReadOnlyDictionary<string, ServedDeployment> siblings);

    /// <summary>
    /// Hands it a new <c>user_config</c> and then checks its health once, so that a value with which nothing works is refused by the first replica and not taken by all. Tells
    /// <see cref="ControllerMessage.Reconfigured"/> or <see cref="ControllerMessage.ReconfigureFailed"/>, or nothing of a process that has ended: <see cref="ControllerMessage.Died"/> is told then.
    /// </summary>
    void Reconfigure(DeploymentState deployment, Replica replica, string userConfig, TimeSpan healthCheckTimeout);

    /// <summary>Tells <see cref="ControllerMessage.Checked"/>, within the timeout whatever the handler does.</summary>
    void CheckHealth(DeploymentState deployment, Replica replica, TimeSpan timeout);

    /// <summary>
    /// Ends a replica that is given no more requests, as soon as it is idle; after the grace what still runs is cancelled. Tells <see cref="ControllerMessage.Stopped"/> once, when
    /// nothing of it is left, and before that <see cref="ControllerMessage.Abandoned"/> if its handler will not end.
    /// </summary>
    void Stop(DeploymentState deployment, Replica replica, TimeSpan grace);

    /// <summary>Tells <see cref="ControllerMessage.WaitersGone"/> when nobody waits for the deployment any more, or after the grace.</summary>
    void AwaitWaiters(DeploymentState deployment, TimeSpan grace);
}

/// <summary>With what a replica starts.</summary>
/// <param name="UserConfig">Canonical JSON; <see langword="null"/> = none.</param>
/// <param name="Args">Canonical JSON for the factory; <see langword="null"/> = none.</param>
/// <param name="HealthCheckTimeout">For the first check.</param>
/// <param name="MaxOngoingRequests">The limit that it begins with.</param>
internal sealed record ReplicaStart(string? UserConfig, string? Args, TimeSpan HealthCheckTimeout, int MaxOngoingRequests);
