using Serve.Embedded.Config;

namespace Serve.Embedded.Controller.Generations;

/// <summary>Where a goal came from.</summary>
internal enum GenerationSource
{
    /// <summary>The file that the server was started with.</summary>
    File,

    /// <summary>The file again, after a SIGHUP.</summary>
    Hangup,

    Rest,

    Code,
}

internal enum GenerationOutcome
{
    /// <summary>Accepted; it is not known yet whether it comes up.</summary>
    Pending,

    Good,

    Failed,

    /// <summary>Another one took its place before it was known.</summary>
    Superseded,
}

/// <summary>One goal state that was accepted: what, when, from where, and how it ended. Immutable.</summary>
/// <param name="Number">1, 2, 3 and so on; never used again.</param>
/// <param name="AcceptedAt">In UTC.</param>
/// <param name="Source">Who asked for it.</param>
/// <param name="Path">The file it was read from, where there is one.</param>
/// <param name="Config">All of the configuration, as <see cref="ConfigWriter.ToJson(ServeConfig)"/> writes it.</param>
internal sealed record Generation(int Number, DateTimeOffset AcceptedAt, GenerationSource Source, string? Path, string Config)
{
    public GenerationOutcome Outcome { get; init; }

    /// <summary>Why it failed or was superseded.</summary>
    public string? Reason { get; init; }

    /// <summary>When its outcome was known.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>What the files of Python that it names declared then, as JSON; <see langword="null"/> = it names none.</summary>
    public string? Code { get; init; }

    /// <summary>The generation that a rollback brought back as this one.</summary>
    public int? RestoredFrom { get; init; }

    /// <summary>The configuration itself, judged by what this executable has compiled in, which may not be what it had then.</summary>
    public ConfigResult Read(ConfigCatalog catalog) => ConfigReader.ReadJson(System.Text.Encoding.UTF8.GetBytes(Config), $"generation {Number}", catalog);
}
