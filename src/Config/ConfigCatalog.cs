namespace Serve.Embedded.Config;

/// <summary>
/// What a configuration may refer to: each import path that is compiled in, with the names of its deployments.
/// The caller fills it from its registry, because this room knows no other.
/// </summary>
internal sealed record ConfigCatalog(IReadOnlyDictionary<string, IReadOnlyList<string>> ImportPaths)
{
    /// <summary>The names of the autoscaling policies that code registered.</summary>
    public IReadOnlyList<string> Policies { get; init; } = [];
}
