using Serve.Embedded.Config;

namespace Serve.Embedded.Handles;

/// <summary>What is served now: derived by the controller, immutable, swapped whole.</summary>
/// <param name="Applications">All that are exposed or not, in the order of the configuration.</param>
internal sealed record ServingSnapshot(IReadOnlyList<ServedApplication> Applications)
{
    public static ServingSnapshot Empty { get; } = new([]);
}

/// <summary>One application as the proxy sees it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="RoutePrefix"><see langword="null"/> = not exposed over HTTP.</param>
/// <param name="Ingress">The deployment that answers HTTP.</param>
/// <param name="Handle">The proxy's own handle to it.</param>
/// <param name="RequestTimeout">End to end; <see langword="null"/> = none.</param>
/// <param name="StreamTimeout">Replaces the request timeout once a streamed body has begun; <see langword="null"/> = it goes on, infinite = none from there.</param>
/// <param name="ExpectsReplicas">Replicas are on their way, or come as soon as somebody asks, so that an ingress without one is not out of order.</param>
internal sealed record ServedApplication(
    string Name,
    string? RoutePrefix,
    ServedDeployment Ingress,
    Handle Handle,
    TimeSpan? RequestTimeout,
    TimeSpan? StreamTimeout,
    bool ExpectsReplicas)
{
    /// <summary>All of its deployments, the ingress first.</summary>
    public EquatableList<ServedDeployment> Deployments { get; init; } = [];
}

/// <summary>Holds the snapshot in force. One writer, the controller; readers take it once per request.</summary>
internal sealed class ServingState
{
    private ServingSnapshot _current = ServingSnapshot.Empty;

    public ServingSnapshot Current => Volatile.Read(ref _current);

    /// <summary>Whether anything was ever exposed: from then on the server is alive, whatever is deployed.</summary>
    public bool HasHadRoutes { get; private set; }

    public void Publish(ServingSnapshot snapshot)
    {
        HasHadRoutes |= snapshot.Applications.Any(a => a.RoutePrefix is not null);
        Volatile.Write(ref _current, snapshot);
    }
}
