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

    private ConfigWriter(bool comments)
    {
        _comments = comments;
    }

    public static string ToToml(ServeConfig config, bool comments = false)
    {
        ConfigWriter writer = new(comments);
        foreach (ConfigKey key in ConfigKeys.Root.Keys)
        {
            ConfigNode node = ConfigKeys.Root.ToNode(config).Find(key.Name)!;
            if (key.Shape == ConfigKeyShape.Table)
            {
                writer.Header(key, $"[{key.Name}]", indent: "");
                writer.Keys(key.Children, node, indent: "", path: key.Name);
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

    private void Header(ConfigKey key, string header, string indent)
    {
        BlankLine();
        Comment(key.Help, indent);
        Line(indent, header);
    }

    private void List(ConfigKey key, ConfigNode list, string indent, string path)
    {
        if (list.Items.Count == 0 && indent.Length == 0)
        {
            BlankLine();
            Comment(key.Help, indent);

            // In TOML all after a header belongs to it, so a list of none must come before the first.
            _text.Insert(0, $"{key.Name} = []\n\n");
        }

        foreach (ConfigNode item in list.Items)
        {
            Header(key, $"[[{path}]]", indent);
            Keys(key.Children, item, indent, path);
        }
    }

    private void Keys(IReadOnlyList<ConfigKey> keys, ConfigNode table, string indent, string path)
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
                Describe(key, indent);
                if (value is not null)
                {
                    Line(indent, $"{TomlText.Key(key.Name)} = {TomlText.Inline(value)}");
                }
                else if (_comments)
                {
                    Line(indent, $"# {key.Name} = {key.Default ?? key.Example}");
                }
            }
        }
    }

    private void Describe(ConfigKey key, string indent)
    {
        if (!_comments)
        {
            return;
        }

        BlankLine();
        Comment(key.Help, indent);
        if (key.Shape == ConfigKeyShape.InlineTable)
        {
            Comment($"Default: {key.Default ?? ConfigKey.NotSet}. In it:", indent);
            foreach (ConfigKey child in key.Children)
            {
                Comment($"- {child.Name}: {child.Help} {Facts(child)}", indent);
            }
        }
        else
        {
            Comment(Facts(key), indent);
        }
    }

    private static string Facts(ConfigKey key)
    {
        string fallback = key.IsRequired ? "Required" : $"Default: {key.Default ?? ConfigKey.NotSet}";
        string update = key.Update is UpdateKind kind ? $" Update: {ConfigReference.Word(kind)}." : "";
        return $"Allowed: {key.Expected}. {fallback}.{update}";
    }

    private void Comment(string text, string indent)
    {
        if (!_comments)
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
