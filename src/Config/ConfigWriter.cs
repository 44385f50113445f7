using System.Text;

namespace Serve.Embedded.Config;

/// <summary>
/// A configuration as a file again, complete: every key that has a value, defaults too. What it writes is read back to an
/// equal <see cref="ServeConfig"/>. With comments it also shows the keys that have no value, so that the file explains itself.
/// </summary>
internal sealed class ConfigWriter
{
    private const int LineWidth = 118;

    private readonly StringBuilder _text = new();
    private readonly bool _comments;

    // A second application need not be explained again.
    private readonly HashSet<string> _explained = [];

    private ConfigWriter(bool comments)
    {
        _comments = comments;
    }

    public static string ToToml(ServeConfig config, bool comments = false)
    {
        ConfigWriter writer = new(comments);
        writer.Comment(comments, "Configuration of serve. Every key is here; one that is commented out is not set, and shows its default or an example. "
            + "After a change, kill -HUP makes a running server read this file again; serve check says what is wrong with it. "
            + "What update means: live and reconfigure reach the running replicas in place, replace starts new replicas before it stops the old, "
            + "restart waits until the server itself is started again. Times are in seconds.", "");
        foreach (ConfigKey key in ConfigKeys.Root.Keys)
        {
            ConfigNode node = ConfigKeys.Root.ToNode(config).Find(key.Name)!;
            if (key.Shape == ConfigKeyShape.Table)
            {
                writer.Header(key, $"[{key.Name}]", indent: "", explain: comments);
                writer.Keys(key.Children, node, indent: "", path: key.Name, explain: comments);
            }
            else
            {
                writer.List(key, node, indent: "", path: key.Name);
            }
        }

        return writer._text.ToString();
    }

    /// <summary>The same keys as JSON; what is not set is left out.</summary>
    public static string ToJson(ServeConfig config) => JsonText.Readable(ConfigKeys.Root.ToNode(config));

    /// <summary>One application of it.</summary>
    public static string ToJson(ApplicationConfig application) => JsonText.Readable(ConfigKeys.ToNode(application));

    private void Header(ConfigKey key, string header, string indent, bool explain)
    {
        BlankLine();
        Comment(explain, key.Help, indent);
        Line(indent, header);
    }

    private void List(ConfigKey key, ConfigNode list, string indent, string path)
    {
        if (list.Items.Count == 0 && indent.Length == 0)
        {
            // In TOML all after a header belongs to it, so a list of none must come before the first.
            _text.Insert(0, $"{key.Name} = []\n{(_text.Length > 0 ? "\n" : "")}");
        }

        foreach (ConfigNode item in list.Items)
        {
            bool explain = _comments && _explained.Add(path);
            Header(key, $"[[{path}]]", indent, explain);
            Keys(key.Children, item, indent, path, explain);
        }
    }

    private void Keys(IReadOnlyList<ConfigKey> keys, ConfigNode table, string indent, string path, bool explain)
    {
        foreach (ConfigKey key in keys)
        {
            ConfigNode? value = table.Find(key.Name);
            if (key.Shape == ConfigKeyShape.List)
            {
                List(key, value!, indent + "  ", $"{path}.{key.Name}");
            }
            else
            {
                if (explain)
                {
                    Describe(key, indent);
                }

                if (value is not null)
                {
                    Line(indent, $"{TomlText.Key(key.Name)} = {TomlText.Inline(value)}");
                }
                else if (explain)
                {
                    Line(indent, $"# {key.Name} = {key.Default ?? key.Example}");
                }
            }
        }
    }

    private void Describe(ConfigKey key, string indent)
    {
        BlankLine();
        Comment(true, key.Help, indent);
        if (key.Shape == ConfigKeyShape.InlineTable)
        {
            Comment(true, $"Default: {key.Default ?? ConfigKey.NotSet}. In it:", indent);
            foreach (ConfigKey child in key.Children)
            {
                Comment(true, $"- {child.Name}: {child.Help} {Facts(child)}", indent);
            }
        }
        else
        {
            Comment(true, Facts(key), indent);
        }
    }

    private static string Facts(ConfigKey key)
    {
        string fallback = key.IsRequired ? "Required" : $"Default: {key.Default ?? ConfigKey.NotSet}";
        string update = key.Update is UpdateKind kind ? $" Update: {ConfigReference.Word(kind)}." : "";
        return $"Allowed: {key.Expected}. {fallback}.{update}";
    }

    private void Comment(bool write, string text, string indent)
    {
        if (!write)
        {
            return;
        }

        StringBuilder line = new(indent + "#");
        foreach (string word in text.Split(' '))
        {
            if (line.Length + 1 + word.Length > LineWidth)
            {
                _text.Append(line).Append('\n');
                line.Clear().Append(indent).Append('#');
            }

            line.Append(' ').Append(word);
        }

        _text.Append(line).Append('\n');
    }

    private void BlankLine()
    {
        if (_text.Length > 0)
        {
            _text.Append('\n');
        }
    }

    private void Line(string indent, string text) => _text.Append(indent).Append(text).Append('\n');
}
