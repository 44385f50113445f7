namespace Serve.Embedded.Config;

/// <summary>
/// One key that two configurations differ in; values as TOML. <paramref name="Before"/> is <see langword="null"/> for something
/// added as a whole and <paramref name="After"/> for something removed as a whole: an application, or a deployment's table.
/// </summary>
internal sealed record ConfigChange(string Path, string? Before, string? After, UpdateKind Update)
{
    // A user_config may be long, and this is for one line of the log.
    private const int MaxShown = 200;

    public override string ToString() =>
        Before is null ? $"{Path}: added"
        : After is null ? $"{Path}: removed"
        : $"{Path}: {Shorten(Before)} -> {Shorten(After)}";

    private static string Shorten(string value) => value.Length <= MaxShown ? value : string.Concat(value.AsSpan(0, MaxShown), "...");
}

/// <summary>What a reload changes, key by key. It compares what the writer would write, so it knows every key that the table knows.</summary>
internal static class ConfigDiff
{
    public static IReadOnlyList<ConfigChange> Compare(ServeConfig before, ServeConfig after)
    {
        List<ConfigChange> changes = [];
        if (before != after)
        {
            CompareTables(ConfigKeys.Root.Keys, "", ToNode(before, after), ToNode(after, before), changes);
        }

        return changes;
    }

    // A reload changes few of perhaps a thousand applications: those that are equal need not be taken apart.
    private static ConfigNode ToNode(ServeConfig config, ServeConfig other)
    {
        HashSet<ApplicationConfig> same = [.. other.Applications];
        return ConfigKeys.Root.ToNode(config with { Applications = [.. config.Applications.Where(application => !same.Contains(application))] });
    }

    private static void CompareTables(IReadOnlyList<ConfigKey> keys, string prefix, ConfigNode before, ConfigNode after, List<ConfigChange> changes)
    {
        foreach (ConfigKey key in keys)
        {
            ConfigNode? left = before.Find(key.Name);
            ConfigNode? right = after.Find(key.Name);
            string path = prefix + key.Name;
            switch (key.Shape)
            {
                case ConfigKeyShape.Table:
                    CompareTables(key.Children, path + ".", left!, right!, changes);
                    break;
                case ConfigKeyShape.List:
                    CompareLists(key, path + ".", left!, right!, changes);
                    break;
                case ConfigKeyShape.InlineTable when left is not null && right is not null:
                    CompareTables(key.Children, path + ".", left, right, changes);
                    break;
                default:
                    CompareValues(key, path, left, right, changes);
                    break;
            }
        }
    }

    private static void CompareValues(ConfigKey key, string path, ConfigNode? before, ConfigNode? after, List<ConfigChange> changes)
    {
        string left = before is null ? ConfigKey.NotSet : TomlText.Inline(before);
        string right = after is null ? ConfigKey.NotSet : TomlText.Inline(after);
        if (left != right)
        {
            changes.Add(new ConfigChange(path, left, right, key.Update ?? UpdateKind.Replace));
        }
    }

    private static void CompareLists(ConfigKey list, string prefix, ConfigNode before, ConfigNode after, List<ConfigChange> changes)
    {
        Dictionary<string, ConfigNode> left = ByName(before);
        Dictionary<string, ConfigNode> right = ByName(after);
        foreach ((string name, ConfigNode item) in left)
        {
            if (!right.TryGetValue(name, out ConfigNode? same))
            {
                changes.Add(new ConfigChange(prefix + name, "removed", null, Strongest(list, item)));
            }
            else
            {
                CompareTables(list.Children, $"{prefix}{name}.", item, same, changes);
            }
        }

        foreach ((string name, ConfigNode item) in right.Where(pair => !left.ContainsKey(pair.Key)))
        {
            changes.Add(new ConfigChange(prefix + name, null, "added", Strongest(list, item)));
        }
    }

    private static Dictionary<string, ConfigNode> ByName(ConfigNode list) =>
        list.Items.ToDictionary(item => item.Find("name")!.Text, StringComparer.Ordinal);

    // An application that comes or goes needs its replicas started or stopped, but a table of overrides only what is written in it.
    private static UpdateKind Strongest(ConfigKey list, ConfigNode item) =>
        list.Children.Where(key => item.Find(key.Name) is not null).Max(key => key.Update) ?? UpdateKind.Live;
}
