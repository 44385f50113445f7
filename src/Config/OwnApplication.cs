namespace Serve.Embedded.Config;

/// <summary>An application that code adds, and that no configuration removes.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ImportPath">Of its code.</param>
/// <param name="RoutePrefix">Where no configuration says another; <see langword="null"/> = not exposed.</param>
internal sealed record OwnApplication(string Name, string ImportPath, string? RoutePrefix)
{
    /// <summary>Whether it can be exposed at all; otherwise it takes calls from code alone.</summary>
    public bool AnswersHttp { get; init; } = true;

    /// <summary>What is served of it where no configuration names it.</summary>
    public ApplicationConfig Unwritten { get; } = new() { Name = Name, ImportPath = ImportPath, RoutePrefix = RoutePrefix };

    /// <summary>
    /// Fills into a configuration's tree what code says: the import path and prefix of its own applications where they are not written, and those that are not named at all.
    /// </summary>
    public static void Complete(ConfigNode root, IReadOnlyList<OwnApplication> own, ConfigErrors errors)
    {
        if (own.Count == 0 || root.Kind != ConfigNodeKind.Table)
        {
            return;
        }

        if (root.Find("applications") is not { } applications)
        {
            applications = ConfigNode.Array(root.Place);
            root.Members["applications"] = new(root.Place, applications);
        }

        if (applications.Kind != ConfigNodeKind.Array)
        {
            return;
        }

        foreach (OwnApplication application in own)
        {
            ConfigNode? written = applications.Items.Find(i => i.Kind == ConfigNodeKind.Table && NameOf(i) == application.Name);
            if (written is null)
            {
                written = ConfigNode.Table();
                Fill(written, "name", application.Name);
                applications.Items.Add(written);
            }

            else if (written.Find("import_path") is { Kind: ConfigNodeKind.String } path && path.Text != application.ImportPath)
            {
                errors.Add(path.Place, $"application '{application.Name}' is made by the code of the program that embeds the server: leave import_path out, or give this application another name");
            }

            Fill(written, "import_path", application.ImportPath);
            Fill(written, "route_prefix", application.RoutePrefix ?? string.Empty);
            if (!application.AnswersHttp && written.Find("route_prefix") is { Kind: ConfigNodeKind.String, Text.Length: > 0 } prefix)
            {
                errors.Add(prefix.Place, $"application '{application.Name}' cannot be exposed at '{prefix.Text}': its first deployment takes calls from code, not HTTP. Leave route_prefix out");
            }
        }
    }

    private static string NameOf(ConfigNode table) => table.Find("name") switch
    {
        null => "default",
        { Kind: ConfigNodeKind.String } name => name.Text,
        _ => string.Empty,
    };

    private static void Fill(ConfigNode table, string key, string text)
    {
        if (table.Find(key) is null)
        {
            table.Members[key] = new(table.Place, ConfigNode.Of(text, table.Place));
        }
    }
}
