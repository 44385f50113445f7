using System.Globalization;
using System.Text;

namespace Serve.Embedded.Config;

/// <summary>Writes values as TOML on one line: for files we write, for the texts of changes, and for quoting in errors.</summary>
internal static class TomlText
{
    private const int MaxQuoted = 80;

    public static string Inline(ConfigNode node)
    {
        StringBuilder text = new();
        Append(text, node);
        return text.ToString();
    }

    /// <summary>What an operator wrote, short enough for an error message; tables and lists are only named.</summary>
    public static string Quote(ConfigNode node) => node.Kind switch
    {
        ConfigNodeKind.Null => "null",
        ConfigNodeKind.Table => "a table",
        ConfigNodeKind.Array => "a list",
        ConfigNodeKind.String => Quote(node.Text),
        ConfigNodeKind.DateTime => $"the date or time {node.Text}",
        _ => Inline(node),
    };

    public static string Quote(string written)
    {
        StringBuilder text = new();
        AppendString(text, written.Length <= MaxQuoted ? written : string.Concat(written.AsSpan(0, MaxQuoted), "..."));
        return text.ToString();
    }

    public static string Key(string key)
    {
        if (key.Length > 0 && key.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-'))
        {
            return key;
        }

        StringBuilder text = new();
        AppendString(text, key);
        return text.ToString();
    }

    private static void Append(StringBuilder text, ConfigNode node)
    {
        switch (node.Kind)
        {
            case ConfigNodeKind.Table:
                AppendTable(text, node);
                break;
            case ConfigNodeKind.Array:
                AppendArray(text, node);
                break;
            case ConfigNodeKind.String:
                AppendString(text, node.Text);
                break;
            case ConfigNodeKind.Integer:
                text.Append(CultureInfo.InvariantCulture, $"{node.Integer}");
                break;
            case ConfigNodeKind.Float:
                text.Append(ConfigNode.FloatText(node.Float));
                break;
            case ConfigNodeKind.Boolean:
                text.Append(node.Boolean ? "true" : "false");
                break;
            case ConfigNodeKind.DateTime:
                text.Append(node.Text);
                break;
            default:
                throw new ArgumentException("A null inside a list has no form in TOML; write this configuration as JSON.", nameof(node));
        }
    }

    private static void AppendTable(StringBuilder text, ConfigNode table)
    {
        string separator = "{ ";
        foreach ((string key, ConfigMember member) in table.Members)
        {
            // Leaving a key out is how TOML says null.
            if (member.Value.Kind != ConfigNodeKind.Null)
            {
                text.Append(separator).Append(Key(key)).Append(" = ");
                Append(text, member.Value);
                separator = ", ";
            }
        }

        text.Append(separator == ", " ? " }" : "{}");
    }

    private static void AppendArray(StringBuilder text, ConfigNode array)
    {
        text.Append('[');
        for (int i = 0; i < array.Items.Count; i++)
        {
            text.Append(i == 0 ? "" : ", ");
            Append(text, array.Items[i]);
        }

        text.Append(']');
    }

    private static void AppendString(StringBuilder text, string value)
    {
        text.Append('"');
        foreach (char c in value)
        {
            _ = c switch
            {
                '"' => text.Append("\\\""),
                '\\' => text.Append("\\\\"),
                '\n' => text.Append("\\n"),
                '\r' => text.Append("\\r"),
                '\t' => text.Append("\\t"),
                _ when char.IsControl(c) => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}"),
                _ => text.Append(c),
            };
        }

        text.Append('"');
    }
}
