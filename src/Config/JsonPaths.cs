using System.Globalization;

namespace Serve.Embedded.Config;

/// <summary>Where in a document a place of its text is, as <c>$.applications[0].name</c>: who sends JSON has often no lines to look at.</summary>
internal static class JsonPaths
{
    public static IReadOnlyDictionary<TextPlace, string> Of(ConfigNode root)
    {
        Dictionary<TextPlace, string> paths = [];
        Add(root, "$", paths);
        return paths;
    }

    private static void Add(ConfigNode node, string path, Dictionary<TextPlace, string> paths)
    {
        paths[node.Place] = path;
        foreach ((string key, ConfigMember member) in node.Members)
        {
            string below = path + Step(key);
            paths[member.KeyPlace] = below;
            Add(member.Value, below, paths);
        }

        foreach ((int index, ConfigNode item) in node.Items.Index())
        {
            Add(item, string.Create(CultureInfo.InvariantCulture, $"{path}[{index}]"), paths);
        }
    }

    private static string Step(string key) => key.Length > 0 && key.All(static c => char.IsAsciiLetterOrDigit(c) || c == '_') ? $".{key}" : $"[{JsonText.Canonical(ConfigNode.Of(key))}]";
}
