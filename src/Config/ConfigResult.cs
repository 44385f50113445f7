using System.Diagnostics.CodeAnalysis;

namespace Serve.Embedded.Config;

/// <summary>What reading a configuration gives: all of it, or every reason why not. A bad file is an answer, not an exception.</summary>
internal sealed class ConfigResult
{
    private ConfigResult(ServeConfig? config, IReadOnlyList<ConfigError> errors)
    {
        Config = config;
        Errors = errors;
    }

    public ServeConfig? Config { get; }

    public IReadOnlyList<ConfigError> Errors { get; }

    [MemberNotNullWhen(true, nameof(Config))]
    public bool IsValid => Config is not null;

    public static ConfigResult Valid(ServeConfig config) => new(config, []);

    public static ConfigResult Invalid(ConfigErrors errors) => new(null, errors.ToList());

    public static ConfigResult Invalid(IReadOnlyList<ConfigError> errors) => new(null, errors);
}
