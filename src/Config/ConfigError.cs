namespace Serve.Embedded.Config;

/// <summary>One thing that is wrong with what an operator wrote, or that is not as it seems. Line and column start at 1; 0 = the whole source.</summary>
internal sealed record ConfigError(string Source, int Line, int Column, string Message)
{
    /// <summary>Where in a JSON document it is, such as <c>$.applications[0].name</c>; <see langword="null"/> = the place says enough.</summary>
    public string? Path { get; init; }

    /// <summary><c>config.toml:12:3: message</c>, the form that editors and terminals turn into a link.</summary>
    public override string ToString() => Line > 0 ? $"{Source}:{Line}:{Column}: {(Path is null ? "" : $"{Path}: ")}{Message}" : $"{Source}: {Message}";
}

/// <summary>Gathers every error and warning of one source, so that an operator mends a file in one go; bounded, whatever the file is.</summary>
internal sealed class ConfigErrors(string source)
{
    public const int MaxShown = 100;

    // More than are shown, because errors are found in the order of the checks and shown in the order of the text.
    private const int MaxKept = 10_000;

    // A message may quote what was written, and that may be anything.
    private const int MaxMessage = 1_000;

    private readonly List<(TextPlace Place, string Message)> _errors = [];
    private readonly List<(TextPlace Place, string Message)> _warnings = [];

    /// <summary>Errors; warnings stop nobody.</summary>
    public int Count { get; private set; }

    /// <summary>What is at a place, for errors to name; <see langword="null"/> = the place says enough.</summary>
    public Lazy<IReadOnlyDictionary<TextPlace, string>>? Paths { get; set; }

    private int WarningCount { get; set; }

    public void Add(TextPlace place, string message)
    {
        Count++;
        if (_errors.Count < MaxKept)
        {
            _errors.Add((place, OneLine(message)));
        }
    }

    /// <summary>Something that is accepted, and does not do what whoever wrote it may think.</summary>
    public void Warn(TextPlace place, string message)
    {
        WarningCount++;
        if (_warnings.Count < MaxKept)
        {
            _warnings.Add((place, OneLine($"warning: {message}")));
        }
    }

    /// <summary>In the order of the text; the last of a long list says how many more there are.</summary>
    public IReadOnlyList<ConfigError> ToList() => ToList(_errors, Count, "errors");

    /// <summary>In the same order and form.</summary>
    public IReadOnlyList<ConfigError> WarningsToList() => ToList(_warnings, WarningCount, "warnings");

    private List<ConfigError> ToList(List<(TextPlace Place, string Message)> kept, int count, string what)
    {
        List<ConfigError> list = kept
            .OrderBy(error => error.Place)
            .Take(MaxShown)
            .Select(error => new ConfigError(source, error.Place.Line, error.Place.Column, error.Message) { Path = Paths?.Value.GetValueOrDefault(error.Place) })
            .ToList();
        if (count > list.Count)
        {
            list.Add(new ConfigError(source, 0, 0, $"and {count - list.Count} more {what}"));
        }

        return list;
    }

    private static string OneLine(string message)
    {
        string text = message.Length <= MaxMessage ? message : string.Concat(message.AsSpan(0, MaxMessage), "...");
        return text.Any(char.IsControl) ? string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c)) : text;
    }
}
