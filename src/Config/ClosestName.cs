namespace Serve.Embedded.Config;

/// <summary>Finds what a misspelt name was probably meant to be.</summary>
internal static class ClosestName
{
    // Nobody misspells a name this long into another; also bounds the work.
    private const int MaxLength = 64;

    /// <summary><c>; did you mean 'x'?</c>, or nothing where no candidate is near enough to be helpful.</summary>
    public static string Hint(string written, IEnumerable<string> candidates)
    {
        string? closest = Find(written, candidates);
        return closest is null ? "" : $"; did you mean '{closest}'?";
    }

    public static string? Find(string written, IEnumerable<string> candidates)
    {
        if (written.Length is 0 or > MaxLength)
        {
            return null;
        }

        string? closest = null;
        int limit = Math.Clamp(written.Length / 3, 1, 3);
        foreach (string candidate in candidates)
        {
            if (candidate.Length > MaxLength || Math.Abs(candidate.Length - written.Length) > limit)
            {
                continue;
            }

            int distance = Distance(Fold(written), Fold(candidate));
            if (distance <= limit)
            {
                closest = candidate;
                limit = distance - 1;
            }
        }

        return closest;
    }

    // Case and the choice of separator are the likeliest slips, so they cost nothing.
    private static string Fold(string name) => name.ToLowerInvariant().Replace('-', '_');

    /// <summary>Edits between two names: insert, delete, replace, or swap two neighbours.</summary>
    private static int Distance(string a, string b)
    {
        int[,] edits = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
        {
            edits[i, 0] = i;
        }

        for (int j = 0; j <= b.Length; j++)
        {
            edits[0, j] = j;
        }

        for (int i = 1; i <= a.Length; i++)
        {
            for (int j = 1; j <= b.Length; j++)
            {
                int replace = edits[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                int best = Math.Min(replace, Math.Min(edits[i - 1, j], edits[i, j - 1]) + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    best = Math.Min(best, edits[i - 2, j - 2] + 1);
                }

                edits[i, j] = best;
            }
        }

        return edits[a.Length, b.Length];
    }
}
