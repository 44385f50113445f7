using Serve.Embedded.Config;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Hosting;

/// <summary>
/// Who calls whom among the deployments of applications that code adds, across applications too: as constructors say, and as replicas ask while they are made. Names are <c>application/deployment</c>. What code
/// says does not change while the process lives, so nothing is ever taken out.
/// </summary>
internal sealed class OwnCalls(DeploymentRegistry registry, IReadOnlyList<OwnApplication> own)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, HashSet<string>> _asked = new(StringComparer.Ordinal);

    /// <summary>The way round on which an application's deployments come back to themselves, as constructors say; <see langword="null"/> = there is none.</summary>
    public IReadOnlyList<string>? CircleOf(OwnApplication application)
    {
        lock (_gate)
        {
            return registry.Applications[application.ImportPath].Deployments.Select(d => CircleFrom_NeedsLock($"{application.Name}/{d.Name}")).FirstOrDefault(c => c is not null);
        }
    }

    /// <summary>Notes that a replica of one deployment has asked for a handle to another.</summary>
    /// <exception cref="InvalidOperationException">They call each other in a circle.</exception>
    public void Note(string caller, string callee)
    {
        IReadOnlyList<string>? circle;
        lock (_gate)
        {
            if (!_asked.TryGetValue(caller, out HashSet<string>? callees))
            {
                callees = new(StringComparer.Ordinal);
                _asked.Add(caller, callees);
            }

            callees.Add(callee);
            circle = CircleFrom_NeedsLock(caller);
        }

        if (circle is not null)
        {
            throw new InvalidOperationException(Message(circle));
        }
    }

    public static string Message(IReadOnlyList<string> circle) => CallCircle.Message("Deployments", circle);

    private IReadOnlyList<string>? CircleFrom_NeedsLock(string start) => CallCircle.From(start, CalleesOf_NeedsLock);

    private IEnumerable<string> CalleesOf_NeedsLock(string caller)
    {
        string[] parts = caller.Split('/', 2);
        IEnumerable<string> said = [];
        if (own.FirstOrDefault(o => o.Name == parts[0]) is { } application && registry.Applications[application.ImportPath].TryFind(parts[^1], out DeploymentDefinition? definition))
        {
            // The key of a deployment of the same application is its name alone.
            said = definition.Callees.Select(key => key.Contains('/', StringComparison.Ordinal) ? key : $"{parts[0]}/{key}");
        }

        return _asked.TryGetValue(caller, out HashSet<string>? asked) ? said.Concat(asked) : said;
    }
}
