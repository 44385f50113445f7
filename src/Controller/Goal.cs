using Serve.Embedded.Config;

namespace Serve.Embedded.Controller;

/// <summary>One application as it shall be: what the code declares, overlaid by what the operator wrote. Nothing is left open.</summary>
internal sealed record ApplicationGoal
{
    public required string Name { get; init; }

    public required string ImportPath { get; init; }

    public required string? RoutePrefix { get; init; }

    public required TimeSpan? RequestTimeout { get; init; }

    public required TimeSpan? StreamTimeout { get; init; }

    public required EquatableList<DeploymentGoal> Deployments { get; init; }
}

/// <summary>One deployment as it shall be.</summary>
internal sealed record DeploymentGoal
{
    public required string Name { get; init; }

    public required int NumReplicas { get; init; }

    public required int MaxOngoingRequests { get; init; }

    public required int MaxQueuedRequests { get; init; }

    public required TimeSpan? MaxQueueWait { get; init; }

    public required TimeSpan GracefulShutdownTimeout { get; init; }

    public required int BackpressureStatusCode { get; init; }

    public required double? RetryAfterS { get; init; }

    /// <summary>Canonical JSON; <see langword="null"/> = none.</summary>
    public required string? UserConfig { get; init; }
}
