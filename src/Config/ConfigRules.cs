namespace Serve.Embedded.Config;

/// <summary>
/// What must hold between keys: names and prefixes that may not repeat, and names that must exist. Works on the tree,
/// not on the records, because it has the places and is there even when some other key is wrong.
/// </summary>
internal sealed class ConfigRules(ConfigCatalog catalog, ConfigErrors errors)
{
    // A longer list helps nobody to find the one that was meant.
    private const int MaxListed = 20;

    private static readonly ApplicationConfig Unwritten = new() { ImportPath = "" };

    public void Check(ConfigNode root)
    {
        if (root.Find("applications") is not ConfigNode applications)
        {
            errors.Add(root.Place, $"no applications; the smallest file that serves is: [[applications]] import_path = {TomlText.Quote(AnyImportPath())}; applications = [] starts with none");
            return;
        }

        Dictionary<string, int> names = new(StringComparer.Ordinal);
        Dictionary<string, int> prefixes = new(StringComparer.Ordinal);
        foreach (ConfigNode application in applications.Items.Where(item => item.Kind == ConfigNodeKind.Table))
        {
            CheckUnique("application name", application, "name", Unwritten.Name, names);
            CheckUnique("route_prefix", application, "route_prefix", Unwritten.RoutePrefix!, prefixes);
            CheckDeployments(application, CheckImportPath(application));
            WorkerRules.Check(application, errors);
        }
    }

    private string AnyImportPath() => catalog.ImportPaths.Keys.Order(StringComparer.Ordinal).FirstOrDefault() ?? "module:attr";

    private void CheckUnique(string what, ConfigNode table, string key, string unwritten, Dictionary<string, int> firstLines)
    {
        ConfigNode? node = table.Find(key);
        if (node is { Kind: not ConfigNodeKind.String } or { Text: "" })
        {
            // Not a text: said already. Empty: not a name, and as a prefix "not exposed", which may repeat.
            return;
        }

        string text = node?.Text ?? unwritten;
        TextPlace place = node?.Place ?? table.Place;
        if (!firstLines.TryAdd(text, place.Line))
        {
            string isDefault = node is null ? $", which is the default, as no {key} is written here" : "";
            errors.Add(place, $"{what} {TomlText.Quote(text)} is taken already on line {firstLines[text]}{isDefault}");
        }
    }

    /// <summary>The names of the application's deployments, where the application is known.</summary>
    private IReadOnlyList<string>? CheckImportPath(ConfigNode application)
    {
        if (application.Find("import_path") is not { Kind: ConfigNodeKind.String } path || TextRules.ImportPath(path.Text) is not null)
        {
            return null;
        }

        if (WorkerRules.PythonName(path.Text) is not null)
        {
            // Its deployments are known when its file is imported.
            return null;
        }

        if (catalog.ImportPaths.TryGetValue(path.Text, out IReadOnlyList<string>? deployments))
        {
            return deployments;
        }

        string elsewhere = path.Text.StartsWith("builtin:", StringComparison.Ordinal) ? ""
            : ". A class in a file of Python is written python:FILE.CLASS; any other program is a deployment with a command, in an application without an import_path";
        errors.Add(path.Place, $"unknown import_path {TomlText.Quote(path.Text)}.{Known(path.Text, catalog.ImportPaths.Keys)}{elsewhere}");
        return null;
    }

    private void CheckDeployments(ConfigNode application, IReadOnlyList<string>? known)
    {
        if (application.Find("deployments") is not ConfigNode deployments)
        {
            return;
        }

        Dictionary<string, int> names = new(StringComparer.Ordinal);
        foreach (ConfigNode deployment in deployments.Items)
        {
            if (deployment.Find("name") is not { Kind: ConfigNodeKind.String } name || TextRules.Name(name.Text) is not null)
            {
                continue;
            }

            CheckUnique("deployment name", deployment, "name", "", names);
            AutoscalingRules.Check(deployment, catalog, errors);
            if (known is not null && !known.Contains(name.Text, StringComparer.Ordinal))
            {
                errors.Add(name.Place, $"Deployment '{name.Text}' does not exist.{Known(name.Text, known)}");
            }
        }
    }

    /// <summary>Which names there are, and which may have been meant.</summary>
    public static string Known(string written, IEnumerable<string> known)
    {
        string[] sorted = [.. known.Order(StringComparer.Ordinal)];
        string meant = ClosestName.Find(written, sorted) is string closest ? $" Did you mean '{closest}'?" : "";
        string more = sorted.Length > MaxListed ? $" and {sorted.Length - MaxListed} more" : "";
        return sorted.Length == 0 ? " There is none." : $"{meant} Known: {string.Join(", ", sorted.Take(MaxListed))}{more}";
    }
}
