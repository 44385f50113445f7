namespace Serve.Embedded.Telemetry;

/// <summary>Texts for people that are told in a row, and come from anywhere: what a handler throws seldom ends as a sentence does.</summary>
internal static class Sentences
{
    /// <summary>One after the other, none run into the next. Where one is of several lines, as a traceback is, each begins a line of its own.</summary>
    /// <param name="texts">Those that are empty are left out.</param>
    public static string Join(params IEnumerable<string?> texts)
    {
        List<string> all = [.. texts.OfType<string>().Where(static t => t.Length > 0)];
        return all.Exists(static t => t.Contains('\n', StringComparison.Ordinal))
            ? string.Join('\n', all)
            : string.Join(' ', all.Select((t, i) => i == all.Count - 1 || IsEnded(t) ? t : $"{t}."));
    }

    private static bool IsEnded(string text) => text.AsSpan().TrimEnd(")'\"") is [.., '.' or '?' or '!' or ':'];
}
