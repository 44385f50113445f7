namespace Serve.Embedded.Config;

/// <summary>
/// What a configuration may refer to: each import path that is compiled in, with the names of its deployments.
/// The caller fills it from its registry, because this room knows no other.
/// </summary>
internal sealed record ConfigCatalog(IReadOnlyDictionary<string, IReadOnlyList<string>> ImportPaths)
{
    /// <summary>The names of the autoscaling policies that code registered.</summary>
    public IReadOnlyList<string> Policies { get; init; } = [];

    /// <summary>Applications that code adds, and that are served whether they are written or not.</summary>
    public IReadOnlyList<OwnApplication> Own { get; init; } = [];

    /// <summary>The names of an application's deployments: those of its code, or those that are written where each has a command.</summary>
    public IEnumerable<string> DeploymentsOf(ApplicationConfig application) =>
        application.ImportPath is { } path && ImportPaths.TryGetValue(path, out IReadOnlyList<string>? names) ? names : application.Deployments.Select(d => d.Name);
}
