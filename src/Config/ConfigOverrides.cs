using System.Globalization;

namespace Serve.Embedded.Config;

/// <summary>One key that a flag or an environment variable may set.</summary>
internal sealed record ConfigOverride(string Flag, string Variable, string Table, string Key, bool IsNumber, string Help);

/// <summary>
/// Flags and environment variables on top of a file, for containers: a flag beats a variable, a variable beats the file.
/// They are put through the same table of keys, so the same ranges hold.
/// </summary>
internal static class ConfigOverrides
{
    public static IReadOnlyList<ConfigOverride> All { get; } =
    [
        new("--host", "SERVE_HTTP_HOST", "http_options", "host", IsNumber: false, "Address of the data port"),
        new("--port", "SERVE_HTTP_PORT", "http_options", "port", IsNumber: true, "Data port; 0 = any free port"),
        new("--admin-host", "SERVE_ADMIN_HOST", "admin_options", "host", IsNumber: false, "Address of the admin port"),
        new("--admin-port", "SERVE_ADMIN_PORT", "admin_options", "port", IsNumber: true, "Admin port; 0 = any free port"),
        new("--log-level", "SERVE_LOG_LEVEL", "logging_config", "log_level", IsNumber: false, "TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ];

    /// <summary>
    /// The configuration with every override put in, or every error; each error names the flag or variable it is about.
    /// <paramref name="flags"/>: what the command line gave, by flag. <paramref name="environment"/>: the value of a variable;
    /// an empty one counts as not set, because that is how container tools leave one out.
    /// </summary>
    public static ConfigResult Apply(ServeConfig config, IReadOnlyDictionary<string, string> flags, Func<string, string?> environment)
    {
        List<ConfigError> problems = [];
        foreach (ConfigOverride option in All)
        {
            string source = option.Flag;
            if (!flags.TryGetValue(option.Flag, out string? text))
            {
                source = option.Variable;
                text = environment(option.Variable);
                if (string.IsNullOrEmpty(text))
                {
                    continue;
                }
            }

            ConfigErrors errors = new(source);
            config = ConfigKeys.Root.Bind(config, Tree(option, text), errors);
            problems.AddRange(errors.ToList());
        }

        return problems.Count == 0 ? ConfigResult.Valid(config) : ConfigResult.Invalid(problems);
    }

    private static ConfigNode Tree(ConfigOverride option, string text)
    {
        ConfigNode value = option.IsNumber && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
            ? ConfigNode.Of(number)
            : ConfigNode.Of(text);
        ConfigNode table = ConfigNode.Table();
        table.Members.Add(option.Key, new ConfigMember(default, value));
        ConfigNode root = ConfigNode.Table();
        root.Members.Add(option.Table, new ConfigMember(default, table));
        return root;
    }
}
