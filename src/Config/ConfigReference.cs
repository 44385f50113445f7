using System.Text;

namespace Serve.Embedded.Config;

/// <summary>Writes <c>docs/configuration.md</c> from the table of keys, so that what it says of a key is what the code does with it.</summary>
internal static class ConfigReference
{
    private static readonly string Introduction = $"""
        # Configuration

        <!-- Written by ConfigReference.cs from the table of keys. Do not edit: run the tests with SERVE_UPDATE_DOCS=1. -->

        One file, `config.toml`, says what is served: names and meanings are Ray Serve's, the language is TOML. The file that
        comes with the project shows every key with its default; `serve build` writes such a file for the applications that are compiled
        in, and `serve check FILE` reads one and says what is wrong with it without starting anything.

        The smallest file that serves:

        ```toml
        [[applications]]
        import_path = "builtin:slow"
        ```

        ## Who owns the goal

        The file describes the goal as a whole: an application that is not in it any more is removed. Applications that are registered in
        code are the code's own, and no file removes them. A deployment's option that is not in the file is as the code says;
        taking it out of the file brings the code's value back.

        `kill -HUP` on the server makes it read the file again. Reading is all or nothing: a file with an error changes
        nothing, the log has every error, and the server goes on as before. A file that says what runs already changes nothing either.
        The log has what changed, key by key.

        ## Kinds of update

        | update | what a reload does |
        | --- | --- |
        | live | the new value is in force at once; no replica is touched |
        | reconfigure | running replicas are told the new value, in place |
        | replace | the application's replicas are replaced by new ones, and no request is lost |
        | restart | the old value stays, and the log says so, until the server itself is started again |

        ## Flags and environment variables

        For containers. A flag beats an environment variable, which beats the file; an empty variable counts as not set. The same ranges hold.

        | flag | environment variable | key |
        | --- | --- | --- |

        """;

    private static readonly string Errors = $"""

        ## Errors

        Every error in the file is told at once (the first {ConfigErrors.MaxShown}, if there are more), in the order of the file, as `file:line:column: message`:

        ```text
        config.toml:12:3: unknown key num_replica in [[applications.deployments]]; did you mean 'num_replicas'?
        config.toml:14:26: max_ongoing_requests must be an integer from 1 to 1000000, not 0
        ```

        Nothing is ignored: a key that is not in this list is an error, and so is a value outside its range, an application name or a
        route prefix that is used twice, an import path that is not compiled in, or a deployment that its application does not have.
        The exceptions are keys of Ray Serve that are not needed here, such as `graceful_shutdown_wait_loop_s`: they are accepted, and a warning says that they have no effect.
        The file must be UTF-8 and at most {ConfigFile.MaxBytes / (1024 * 1024)} MiB.

        Times are in seconds, whole or not, and their keys end in `_s`.

        ## Keys

        """;

    public static string ToMarkdown()
    {
        StringBuilder text = new(Introduction);
        foreach (ConfigOverride option in ConfigOverrides.All)
        {
            text.Append($"| `{option.Flag}` | `{option.Variable}` | `{option.Table}.{option.Key}` |\n");
        }

        text.Append(Errors);
        foreach (ConfigKey key in ConfigKeys.Root.Keys)
        {
            Section(text, key, key.Name, key.Shape == ConfigKeyShape.List ? $"[[{key.Name}]]" : $"[{key.Name}]");
        }

        return text.ToString();
    }

    public static string Word(UpdateKind update) => update switch
    {
        UpdateKind.Live => "live",
        UpdateKind.Reconfigure => "reconfigure",
        UpdateKind.Replace => "replace",
        _ => "restart",
    };

    private static void Section(StringBuilder text, ConfigKey table, string path, string title)
    {
        text.Append($"\n### `{title}`\n\n{table.Help}\n\n| key | meaning | allowed | default | update |\n| --- | --- | --- | --- | --- |\n");
        foreach (ConfigKey key in table.Children.Where(key => key.Shape != ConfigKeyShape.List))
        {
            Row(text, key, key.Name);
            foreach (ConfigKey child in key.Children)
            {
                Row(text, child, $"{key.Name}.{child.Name}");
            }
        }

        foreach (ConfigKey list in table.Children.Where(key => key.Shape == ConfigKeyShape.List))
        {
            Section(text, list, $"{path}.{list.Name}", $"[[{path}.{list.Name}]]");
        }
    }

    private static void Row(StringBuilder text, ConfigKey key, string name)
    {
        string fallback = key.IsRequired ? "required" : key.Default is null ? ConfigKey.NotSet : $"`{key.Default}`";
        string update = key.Update is UpdateKind kind ? Word(kind) : "-";
        text.Append($"| `{name}` | {key.Help} | {key.Expected} | {fallback} | {update} |\n");
    }
}
