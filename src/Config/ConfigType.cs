namespace Serve.Embedded.Config;

/// <summary>What may stand behind a key: says it in words, reads it from a node, and writes it back to one.</summary>
internal abstract class ConfigType<T>
{
    /// <summary>Completes both "must be ..." in errors and the column "allowed" of the documentation.</summary>
    public abstract string Expected { get; }

    /// <summary>Reads the value, or adds the reason why not at the place of the node.</summary>
    public abstract bool TryRead(string key, ConfigNode node, ConfigErrors errors, out T value);

    /// <summary><see langword="null"/> where the value is written by leaving the key out.</summary>
    public abstract ConfigNode? ToNode(T value);

    protected bool Refuse(string key, ConfigNode node, ConfigErrors errors, string hint = "")
    {
        errors.Add(node.Place, $"{key} must be {Expected}, not {TomlText.Quote(node)}{hint}");
        return false;
    }
}

/// <summary>A value that the operator may leave to somebody else's default.</summary>
internal sealed class OptionalType<T>(ConfigType<T> type) : ConfigType<T?>
    where T : struct
{
    public override string Expected => type.Expected;

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out T? value)
    {
        bool read = type.TryRead(key, node, errors, out T some);
        value = some;
        return read;
    }

    public override ConfigNode? ToNode(T? value) => value is T some ? type.ToNode(some) : null;
}

/// <summary>A switch.</summary>
internal sealed class BooleanType : ConfigType<bool>
{
    public override string Expected => "true or false";

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out bool value)
    {
        value = node.Boolean;
        return node.Kind == ConfigNodeKind.Boolean || Refuse(key, node, errors);
    }

    public override ConfigNode ToNode(bool value) => ConfigNode.Of(value);
}

/// <summary>One of a few words, in any case.</summary>
internal sealed class WordType<T>(params (string Word, T Value)[] words) : ConfigType<T>
    where T : struct
{
    public override string Expected { get; } = "one of " + string.Join(", ", words.Select(w => $"\"{w.Word}\""));

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out T value)
    {
        value = default;
        if (node.Kind != ConfigNodeKind.String)
        {
            return Refuse(key, node, errors);
        }

        foreach ((string word, T meaning) in words)
        {
            if (word.Equals(node.Text, StringComparison.OrdinalIgnoreCase))
            {
                value = meaning;
                return true;
            }
        }

        return Refuse(key, node, errors, ClosestName.Hint(node.Text, words.Select(w => w.Word)));
    }

    public override ConfigNode ToNode(T value) => ConfigNode.Of(words.First(w => w.Value.Equals(value)).Word);
}

/// <summary>A text with a form of its own; <paramref name="problem"/> answers what is wrong with one, or nothing.</summary>
internal sealed class TextType(string expected, Func<string, string?> problem) : ConfigType<string>
{
    public override string Expected => expected;

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out string value)
    {
        value = node.Text;
        if (node.Kind != ConfigNodeKind.String)
        {
            return Refuse(key, node, errors);
        }

        return problem(node.Text) is not string wrong || Refuse(key, node, errors, $": {wrong}");
    }

    public override ConfigNode ToNode(string value) => ConfigNode.Of(value);
}

/// <summary>A text where <c>""</c> says "none".</summary>
internal sealed class TextOrNoneType(ConfigType<string> type) : ConfigType<string?>
{
    public override string Expected => type.Expected;

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out string? value)
    {
        value = null;
        return (node.Kind == ConfigNodeKind.String && node.Text.Length == 0) || type.TryRead(key, node, errors, out value);
    }

    public override ConfigNode? ToNode(string? value) => value is null ? ConfigNode.Of("") : type.ToNode(value);
}

/// <summary>A text that the operator may leave out.</summary>
internal sealed class OptionalTextType(ConfigType<string> type) : ConfigType<string?>
{
    public override string Expected => type.Expected;

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out string? value)
    {
        bool read = type.TryRead(key, node, errors, out string some);
        value = some;
        return read;
    }

    public override ConfigNode? ToNode(string? value) => value is null ? null : type.ToNode(value);
}

/// <summary>
/// A list of at most <paramref name="max"/> values of one kind, <paramref name="what"/> in words. <paramref name="isOptional"/>: none is written by leaving the key out, and not as an empty list.
/// </summary>
internal sealed class ListType<T>(string what, int max, ConfigType<T> type, bool isOptional = false) : ConfigType<EquatableList<T>>
{
    public override string Expected => isOptional ? $"a list of 1 to {max} {what}" : $"a list of at most {max} {what}";

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out EquatableList<T> value)
    {
        value = [];
        if (node.Kind != ConfigNodeKind.Array || node.Items.Count > max || (isOptional && node.Items.Count == 0))
        {
            return Refuse(key, node, errors);
        }

        List<T> items = [];
        foreach (ConfigNode item in node.Items)
        {
            if (type.TryRead($"each of {key}", item, errors, out T read))
            {
                items.Add(read);
            }
        }

        value = new EquatableList<T>([.. items]);
        return items.Count == node.Items.Count;
    }

    public override ConfigNode? ToNode(EquatableList<T> value)
    {
        if (isOptional && value.Count == 0)
        {
            return null;
        }

        ConfigNode list = ConfigNode.Array();
        list.Items.AddRange(value.Select(item => type.ToNode(item)!));
        return list;
    }
}

/// <summary>Any value that JSON can hold, kept as canonical JSON because only the handler knows its meaning.</summary>
internal sealed class FreeFormType(bool tableOnly = false) : ConfigType<string?>
{
    public const int MaxNesting = 32;
    public const int MaxLength = 1024 * 1024;

    public override string Expected => tableOnly ? "a table" : "any value, usually a table";

    public override bool TryRead(string key, ConfigNode node, ConfigErrors errors, out string? value)
    {
        value = null;
        if (tableOnly && node.Kind != ConfigNodeKind.Table)
        {
            return Refuse(key, node, errors);
        }

        if (!IsJson(key, node, errors, depth: 1))
        {
            return false;
        }

        value = JsonText.Canonical(node);
        if (value.Length > MaxLength)
        {
            errors.Add(node.Place, $"{key} must be at most {MaxLength} characters when written as JSON, not {value.Length}");
            return false;
        }

        return true;
    }

    public override ConfigNode? ToNode(string? value)
    {
        if (value is null)
        {
            return null;
        }

        ConfigErrors errors = new("a free-form value");
        return JsonConfigReader.Read(value, errors) ?? throw new ArgumentException(errors.ToList()[0].ToString(), nameof(value));
    }

    private static bool IsJson(string key, ConfigNode node, ConfigErrors errors, int depth)
    {
        if (depth > MaxNesting)
        {
            errors.Add(node.Place, $"{key} must not be nested more than {MaxNesting} deep");
            return false;
        }

        if (node.Kind == ConfigNodeKind.Float && !double.IsFinite(node.Float))
        {
            errors.Add(node.Place, $"{key} must not hold {ConfigNode.FloatText(node.Float)}: it is handed over as JSON, which has no such number");
            return false;
        }

        if (node.Kind == ConfigNodeKind.Null)
        {
            errors.Add(node.Place, $"{key} must not hold null, which TOML does not have; leave the key out");
            return false;
        }

        bool good = true;
        foreach (ConfigMember member in node.Members.Values)
        {
            good &= IsJson(key, member.Value, errors, depth + 1);
        }

        foreach (ConfigNode item in node.Items)
        {
            good &= IsJson(key, item, errors, depth + 1);
        }

        return good;
    }
}
