using System.Diagnostics.CodeAnalysis;

namespace Serve.Embedded.Config;

/// <summary>What reading a configuration gives: all of it, or every reason why not. A bad file is an answer, not an exception.</summary>
internal sealed class ConfigResult
{
    private ConfigResult(ServeConfig? config, IReadOnlyList<ConfigError> errors, IReadOnlyList<ConfigError> warnings, string? stateDir = null)
    {
        Config = config;
        StateDir = config is null ? stateDir : config.Controller.StateDir;
        Errors = errors;
        Warnings = warnings;
    }

    public ServeConfig? Config { get; }

    /// <summary>The <c>state_dir</c> that was written, with errors elsewhere or without: where there is something to fall back to.</summary>
    public string? StateDir { get; }

    public IReadOnlyList<ConfigError> Errors { get; }

    /// <summary>What was accepted and does not do what it seems to; with errors or without. Each begins, after its place, with "warning:".</summary>
    public IReadOnlyList<ConfigError> Warnings { get; }

    [MemberNotNullWhen(true, nameof(Config))]
    public bool IsValid => Config is not null;

    public static ConfigResult Valid(ServeConfig config) => new(config, [], []);

    /// <summary>Valid if there is no error.</summary>
    public static ConfigResult Of(ServeConfig config, ConfigErrors errors) =>
        errors.Count == 0
            ? new(config, [], errors.WarningsToList())
            : new(null, errors.ToList(), errors.WarningsToList(), config.Controller.StateDir);

    public static ConfigResult Invalid(ConfigErrors errors) => new(null, errors.ToList(), errors.WarningsToList());

    public static ConfigResult Invalid(IReadOnlyList<ConfigError> errors) => new(null, errors, []);

    /// <summary>The same with the warnings of an earlier step before its own.</summary>
    public ConfigResult After(ConfigResult earlier) => new(Config, Errors, [.. earlier.Warnings, .. Warnings], StateDir ?? earlier.StateDir);
}
