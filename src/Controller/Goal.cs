using Serve.Embedded.Config;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Controller;

/// <summary>One application as it shall be: what the code declares, overlaid by what the operator wrote. Nothing is left open.</summary>
internal sealed record ApplicationGoal
{
    public required string Name { get; init; }

    public required string? RoutePrefix { get; init; }

    public required TimeSpan? RequestTimeout { get; init; }

    public required TimeSpan? StreamTimeout { get; init; }

    public required ApplicationCode Code { get; init; }

    public required EquatableList<DeploymentGoal> Deployments { get; init; }

    /// <summary>What its file declares is not known yet, so nothing of it starts: only for one that does not run.</summary>
    public bool IsBuilding { get; init; }

    /// <summary>What the operator wrote for it: for reports, since everything that counts is above.</summary>
    public ApplicationConfig? Written { get; init; }
}

/// <summary>What an application is made from.</summary>
/// <param name="ImportPath">Which application of the registry, or of a file of Python; <see langword="null"/> = its deployment has a command.</param>
/// <param name="Args">Canonical JSON for the factories; <see langword="null"/> = none.</param>
internal sealed record ApplicationCode(string? ImportPath, string? Args)
{
    public override string ToString() => ImportPath ?? "a command";
}

/// <summary>What a replica is made from. Another code means other replicas: everything else reaches a running one.</summary>
/// <param name="Application">Its application's code.</param>
/// <param name="Worker">Its process; <see langword="null"/> = it is compiled in.</param>
internal sealed record ReplicaCode(ApplicationCode Application, WorkerSettings? Worker);

/// <summary>One deployment as it shall be.</summary>
internal sealed record DeploymentGoal
{
    public required string Name { get; init; }

    /// <summary>Where the load decides, the fewest.</summary>
    public required int NumReplicas { get; init; }

    /// <summary><see langword="null"/> = the number stands.</summary>
    public AutoscalingGoal? Autoscaling { get; init; }

    /// <summary>What one replica takes of the box; <see langword="null"/> = nothing is declared.</summary>
    public double? NumCpus { get; init; }

    public int? MemoryMb { get; init; }

    /// <summary>Its part of a box that is too small for all.</summary>
    public int Weight { get; init; } = 1;

    public required int MaxOngoingRequests { get; init; }

    public required int MaxQueuedRequests { get; init; }

    public TimeSpan? MaxQueueWait { get; init; }

    /// <summary><see langword="null"/> = an upgraded connection holds a permit.</summary>
    public int? MaxWebsockets { get; init; }

    public TimeSpan GracefulShutdownTimeout { get; init; } = TimeSpan.FromSeconds(20);

    public int BackpressureStatusCode { get; init; } = 503;

    public double? RetryAfterS { get; init; }

    /// <summary>Canonical JSON; <see langword="null"/> = none.</summary>
    public string? UserConfig { get; init; }

    public TimeSpan HealthCheckPeriod { get; init; } = TimeSpan.FromSeconds(10);

    public TimeSpan HealthCheckTimeout { get; init; } = TimeSpan.FromSeconds(30);

    public int MaxConstructorRetryCount { get; init; } = 20;

    public double RollingUpdatePercentage { get; init; } = 0.2;

    /// <summary>Old replicas go before the new are up: for boxes that cannot hold both.</summary>
    public bool Replaces { get; init; }

    /// <summary><see langword="null"/> = its replicas are compiled in.</summary>
    public WorkerSettings? Worker { get; init; }

    /// <summary>Of requests whose worker died under them.</summary>
    public RetryMode Retry { get; init; }
}
