namespace Serve.Embedded.Deployments;

/// <summary>Tells the services of a replica's scope whose they are.</summary>
internal sealed class ReplicaScope
{
    private DeploymentContext? _context;

    /// <exception cref="InvalidOperationException">There is no replica: the scope is another.</exception>
    public DeploymentContext Context
    {
        get => _context ?? throw new InvalidOperationException(
            "A DeploymentContext, or a handle by its deployment's name alone, belongs to a replica, and this is not a replica's scope. Elsewhere ask for the handle with the key \"application/deployment\".");
        set => _context = value;
    }
}
