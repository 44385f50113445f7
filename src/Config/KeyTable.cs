namespace Serve.Embedded.Config;

/// <summary>
/// The keys of one table of the file and the record that they fill. <paramref name="title"/> is the table's header as an
/// operator writes it; <paramref name="create"/> gives a record with every default.
/// </summary>
internal sealed class KeyTable<TRecord>(string title, Func<TRecord> create)
    where TRecord : class
{
    private readonly List<ConfigKey<TRecord>> _keys = [];
    private readonly Dictionary<string, string> _instead = new(StringComparer.Ordinal);

    public IReadOnlyList<ConfigKey> Keys => _keys;

    public TRecord Create() => create();

    /// <summary>
    /// A key with a value. Its default is what a new record holds; <paramref name="inCode"/> names, as TOML, a default that
    /// belongs to the code of a deployment instead. <paramref name="example"/>: a value to show where there is no default.
    /// <paramref name="noEffect"/>: why it does nothing here, for a key that Ray Serve's files have.
    /// </summary>
    public KeyTable<TRecord> Value<TValue>(
        string name,
        ConfigType<TValue> type,
        Func<TRecord, TValue> get,
        Func<TRecord, TValue, TRecord> set,
        UpdateKind? update,
        string help,
        string? example = null,
        string? inCode = null,
        bool required = false,
        string? noEffect = null)
    {
        _keys.Add(new ValueKey<TRecord, TValue>(type, get, set)
        {
            Name = name,
            Help = noEffect is null ? help : $"{help} Has no effect here: {noEffect}.",
            NoEffect = noEffect,
            Shape = ConfigKeyShape.Value,
            Expected = type.Expected,
            Update = update,
            IsRequired = required,
            Default = required ? null : inCode ?? (type.ToNode(get(create())) is ConfigNode node ? TomlText.Inline(node) : null),
            Example = example,
        });
        return this;
    }

    public KeyTable<TRecord> Table<TChild>(string name, KeyTable<TChild> table, Func<TRecord, TChild> get, Func<TRecord, TChild, TRecord> set, string help)
        where TChild : class
    {
        _keys.Add(new TableKey<TRecord, TChild>(table, get, set)
        {
            Name = name,
            Help = help,
            Shape = ConfigKeyShape.Table,
            Expected = $"a table, written [{name}]",
            Children = table.Keys,
        });
        return this;
    }

    public KeyTable<TRecord> InlineTable<TChild>(
        string name, KeyTable<TChild> table, Func<TRecord, TChild?> get, Func<TRecord, TChild, TRecord> set, string help, string example)
        where TChild : class
    {
        _keys.Add(new TableKey<TRecord, TChild>(table, get, set)
        {
            Name = name,
            Help = help,
            Shape = ConfigKeyShape.InlineTable,
            Expected = $"a table such as {example}",
            Update = table.Keys.Max(key => key.Update),
            Example = example,
            Children = table.Keys,
        });
        return this;
    }

    public KeyTable<TRecord> List<TChild>(
        string name,
        KeyTable<TChild> table,
        int max,
        Func<TRecord, EquatableList<TChild>> get,
        Func<TRecord, EquatableList<TChild>, TRecord> set,
        string help,
        string header)
        where TChild : class
    {
        _keys.Add(new ListKey<TRecord, TChild>(table, max, get, set)
        {
            Name = name,
            Help = help,
            Shape = ConfigKeyShape.List,
            Expected = $"a list of at most {max} tables, each written {header}",
            Children = table.Keys,
        });
        return this;
    }

    /// <summary>A key that Ray Serve has given up, and what to write in its place.</summary>
    public KeyTable<TRecord> Instead(string name, string write)
    {
        _instead.Add(name, write);
        return this;
    }

    /// <summary>The record with all that the node says put in; every error is added, and what is wrong stays as it was.</summary>
    public TRecord Bind(TRecord record, ConfigNode node, ConfigErrors errors)
    {
        foreach ((string name, ConfigMember member) in node.Members)
        {
            ConfigKey<TRecord>? key = _keys.Find(key => key.Name == name);
            if (key is null)
            {
                errors.Add(member.KeyPlace, $"unknown key {TomlText.Key(name)} in {title}{HintFor(name)}");
            }
            else if (member.Value.Kind != ConfigNodeKind.Null)
            {
                record = key.Bind(record, member.Value, errors);
            }
        }

        foreach (ConfigKey<TRecord> key in _keys)
        {
            if (key.IsRequired && node.Find(key.Name) is null)
            {
                errors.Add(node.Place, $"{title} needs a key {key.Name}: {key.Expected}");
            }
        }

        return record;
    }

    public ConfigNode ToNode(TRecord record)
    {
        ConfigNode table = ConfigNode.Table();
        foreach (ConfigKey<TRecord> key in _keys)
        {
            if (key.ToNode(record) is ConfigNode value)
            {
                table.Members.Add(key.Name, new ConfigMember(default, value));
            }
        }

        return table;
    }

    private string HintFor(string name)
    {
        if (_instead.TryGetValue(name, out string? write))
        {
            return $"; Ray Serve has given it up: write {write}";
        }

        // The right name in the wrong place is a better guess than a name that looks like it.
        string hint = ConfigKeys.TableOf(name) is string elsewhere ? $"; it belongs to {elsewhere}" : ClosestName.Hint(name, _keys.Select(key => key.Name));
        return hint.Length > 0 ? hint
            : $"; the keys here are {string.Join(", ", _keys.Select(key => key.Name))}";
    }
}
