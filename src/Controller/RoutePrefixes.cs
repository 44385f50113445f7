using Serve.Embedded.Handles;

namespace Serve.Embedded.Controller;

/// <summary>
/// Gives each prefix to one application. A goal never has a prefix twice, but what is in force may: while an application's replicas restart, and after it has gone back to what was good, its
/// old prefix is in force, and another one may have been given that meanwhile.
/// </summary>
internal static class RoutePrefixes
{
    /// <summary>The prefix of each application: the one in force, unless it belongs to another; then the one where it is served now, or else where it is wanted, or none.</summary>
    /// <param name="applications">In the order of the goal.</param>
    /// <param name="current">What is served now.</param>
    public static IReadOnlyList<string?> Assign(IReadOnlyList<ApplicationState> applications, ServingSnapshot current)
    {
        string?[] assigned = [.. applications.Select(a => a.InForce.RoutePrefix)];
        HashSet<string> taken = new(StringComparer.Ordinal);
        if (assigned.All(p => p is null || taken.Add(p)))
        {
            return assigned;
        }

        // What the operator wants now is before what was good once; of two who both want it, who has it keeps it.
        taken.Clear();
        List<int> losers = [];
        foreach (int i in Enumerable.Range(0, assigned.Length)
            .OrderBy(i => applications[i].Wanted.RoutePrefix != assigned[i])
            .ThenBy(i => ServedAt(applications[i]) != assigned[i]))
        {
            if (assigned[i] is { } prefix && !taken.Add(prefix))
            {
                losers.Add(i);
            }
        }

        foreach (int i in losers)
        {
            string?[] others = [ServedAt(applications[i]), applications[i].Wanted.RoutePrefix];
            assigned[i] = others.FirstOrDefault(p => p is not null && taken.Add(p));
        }

        return assigned;

        string? ServedAt(ApplicationState application) => current.Applications.FirstOrDefault(a => a.Name == application.Name)?.RoutePrefix;
    }
}
