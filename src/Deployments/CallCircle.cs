namespace Serve.Embedded.Deployments;

/// <summary>Deployments that call each other in a circle, as far as it is known who calls whom.</summary>
internal static class CallCircle
{
    /// <summary>The way round on which a deployment comes back to itself, it first and last; <see langword="null"/> = there is none.</summary>
    /// <param name="start">Its name.</param>
    /// <param name="calleesOf">Whom a deployment calls.</param>
    public static IReadOnlyList<string>? From(string start, Func<string, IEnumerable<string>> calleesOf)
    {
        List<string> way = [start];
        return LeadsBack(way, calleesOf, []) ? way : null;
    }

    /// <param name="who">Whose deployments they are, as the beginning of a sentence.</param>
    /// <param name="way">What <see cref="From"/> found.</param>
    public static string Message(string who, IReadOnlyList<string> way) =>
        $"{who} call each other in a circle: {string.Join(" -> ", way)}. A request would wait for a permit that it holds itself. Let one of them do without its handle to the next.";

    /// <summary>Whether the last of the way leads to its first; goes on with the way until it does.</summary>
    private static bool LeadsBack(List<string> way, Func<string, IEnumerable<string>> calleesOf, HashSet<string> seen)
    {
        foreach (string callee in calleesOf(way[^1]))
        {
            way.Add(callee);
            if (callee == way[0] || (seen.Add(callee) && LeadsBack(way, calleesOf, seen)))
            {
                return true;
            }

            way.RemoveAt(way.Count - 1);
        }

        return false;
    }
}
