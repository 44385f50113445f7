using System.Diagnostics.CodeAnalysis;
using Serve.Embedded.Handles;

namespace Serve.Embedded.Proxy;

/// <summary>
/// Which application a path belongs to: the one with the longest prefix that ends where a segment does, so <c>/hello</c>
/// takes <c>/hello</c>, <c>/hello/</c> and <c>/hello/a</c> but not <c>/helloworld</c>. Derived from one snapshot.
/// </summary>
internal sealed class RouteTable
{
    /// <summary>Not a frozen dictionary: that one keeps hashes, keys and values in arrays of their own, and with a thousand applications each of them is another miss of the cache.</summary>
    private readonly Dictionary<string, ServedApplication>.AlternateLookup<ReadOnlySpan<char>> _byPrefix;
    private readonly ServedApplication? _root;
    private readonly int _longest;

    public RouteTable(ServingSnapshot snapshot)
    {
        Snapshot = snapshot;
        Routes = [.. snapshot.Applications.Where(a => a.RoutePrefix is not null)];
        _root = Routes.FirstOrDefault(a => a.RoutePrefix == "/");
        ServedApplication[] prefixed = [.. Routes.Where(a => a.RoutePrefix != "/")];
        _longest = prefixed.Length == 0 ? 0 : prefixed.Max(a => a.RoutePrefix!.Length);
        _byPrefix = prefixed.ToDictionary(a => a.RoutePrefix!, StringComparer.Ordinal).GetAlternateLookup<ReadOnlySpan<char>>();
    }

    public ServingSnapshot Snapshot { get; }

    /// <summary>The exposed applications.</summary>
    public IReadOnlyList<ServedApplication> Routes { get; }

    /// <summary>The exposed application of this name.</summary>
    public ServedApplication? Find(string name) => Routes.FirstOrDefault(a => a.Name == name);

    public bool TryMatch(ReadOnlySpan<char> path, [NotNullWhen(true)] out ServedApplication? application)
    {
        // No prefix is longer than the longest one: a path of a thousand segments costs no more than that.
        ReadOnlySpan<char> candidate = path.Length > _longest + 1 ? path[..(_longest + 1)] : path;
        if (candidate.Length < path.Length)
        {
            candidate = candidate[..Math.Max(0, candidate.LastIndexOf('/'))];
        }

        while (candidate.Length > 1)
        {
            if (_byPrefix.TryGetValue(candidate, out application))
            {
                return true;
            }

            candidate = candidate[..Math.Max(0, candidate.LastIndexOf('/'))];
        }

        application = _root;
        return application is not null;
    }
}
