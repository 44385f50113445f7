namespace Serve.Embedded.Config;

/// <summary>How a key is laid out in the file.</summary>
internal enum ConfigKeyShape
{
    Value,

    /// <summary>A table with a header of its own.</summary>
    Table,

    /// <summary>A small table written in braces, there as a whole or not at all.</summary>
    InlineTable,

    /// <summary>A list of tables, told apart by their <c>name</c>.</summary>
    List,
}

/// <summary>What is known about one key, whatever record it belongs to: enough to document it, to write it and to compare it.</summary>
internal abstract class ConfigKey
{
    public const string NotSet = "not set";

    public required string Name { get; init; }

    public required string Help { get; init; }

    public required ConfigKeyShape Shape { get; init; }

    /// <summary>What may be written, as it completes "must be ...".</summary>
    public required string Expected { get; init; }

    /// <summary><see langword="null"/> for a name, which tells things apart: another name is another thing.</summary>
    public UpdateKind? Update { get; init; }

    public bool IsRequired { get; init; }

    /// <summary>Why the key, which Ray Serve has, is accepted and does nothing here; <see langword="null"/> = it does what it says.</summary>
    public string? NoEffect { get; init; }

    /// <summary>As TOML; <see langword="null"/> = nothing holds in its place.</summary>
    public string? Default { get; init; }

    /// <summary>A value to show, as TOML, where there is no default to show.</summary>
    public string? Example { get; init; }

    /// <summary>The keys of a table or of each table of a list.</summary>
    public IReadOnlyList<ConfigKey> Children { get; init; } = [];
}

/// <summary>A key that can be read into its record and out of it again.</summary>
internal abstract class ConfigKey<TRecord> : ConfigKey
{
    /// <summary>The record with this key's value in it; the same record where the value is wrong, and an error says so.</summary>
    public abstract TRecord Bind(TRecord record, ConfigNode value, ConfigErrors errors);

    /// <summary><see langword="null"/> where the record's value is written by leaving the key out.</summary>
    public abstract ConfigNode? ToNode(TRecord record);
}

/// <summary>A key with one value.</summary>
internal sealed class ValueKey<TRecord, TValue>(ConfigType<TValue> type, Func<TRecord, TValue> get, Func<TRecord, TValue, TRecord> set)
    : ConfigKey<TRecord>
{
    public override TRecord Bind(TRecord record, ConfigNode value, ConfigErrors errors)
    {
        if (!type.TryRead(Name, value, errors, out TValue read))
        {
            return record;
        }

        if (NoEffect is not null)
        {
            errors.Warn(value.Place, $"{Name} has no effect here: {NoEffect}");
        }

        return set(record, read);
    }

    public override ConfigNode? ToNode(TRecord record) => type.ToNode(get(record));
}

/// <summary>A key that holds a table, with a header or in braces.</summary>
internal sealed class TableKey<TRecord, TChild>(KeyTable<TChild> table, Func<TRecord, TChild?> get, Func<TRecord, TChild, TRecord> set)
    : ConfigKey<TRecord>
    where TChild : class
{
    public override TRecord Bind(TRecord record, ConfigNode value, ConfigErrors errors)
    {
        if (value.Kind == ConfigNodeKind.Table)
        {
            return set(record, table.Bind(get(record) ?? table.Create(), value, errors));
        }

        errors.Add(value.Place, $"{Name} must be {Expected}, not {TomlText.Quote(value)}");
        return record;
    }

    public override ConfigNode? ToNode(TRecord record) => get(record) is TChild child ? table.ToNode(child) : null;
}

/// <summary>A key that holds a list of tables, at most <paramref name="max"/>.</summary>
internal sealed class ListKey<TRecord, TChild>(
    KeyTable<TChild> table, int max, Func<TRecord, EquatableList<TChild>> get, Func<TRecord, EquatableList<TChild>, TRecord> set)
    : ConfigKey<TRecord>
    where TChild : class
{
    public override TRecord Bind(TRecord record, ConfigNode value, ConfigErrors errors)
    {
        if (value.Kind != ConfigNodeKind.Array)
        {
            errors.Add(value.Place, $"{Name} must be {Expected}, not {TomlText.Quote(value)}");
            return record;
        }

        if (value.Items.Count > max)
        {
            errors.Add(value.Items[max].Place, $"there may be at most {max} {Name}, not {value.Items.Count}");
            return record;
        }

        List<TChild> children = [];
        foreach (ConfigNode item in value.Items)
        {
            if (item.Kind == ConfigNodeKind.Table)
            {
                children.Add(table.Bind(table.Create(), item, errors));
            }
            else
            {
                errors.Add(item.Place, $"{Name} must be {Expected}, not a list with {TomlText.Quote(item)} in it");
            }
        }

        return set(record, new EquatableList<TChild>([.. children]));
    }

    public override ConfigNode ToNode(TRecord record)
    {
        ConfigNode list = ConfigNode.Array();
        list.Items.AddRange(get(record).Select(table.ToNode));
        return list;
    }
}
