namespace Serve.Embedded.Config;

/// <summary>
/// From what an operator wrote to a <see cref="ServeConfig"/>, or to every error in it at once. Never throws for bad input,
/// so that start, reload and <c>serve check</c> share it.
/// </summary>
internal static class ConfigReader
{
    /// <summary>A TOML file. Errors name the path as it is given.</summary>
    public static ConfigResult ReadFile(string path, ConfigCatalog catalog)
    {
        ConfigErrors errors = new(path);
        return ConfigFile.ReadText(path, errors) is string text
            ? Judge(TomlConfigReader.Read(text, errors), catalog, errors)
            : ConfigResult.Invalid(errors);
    }

    /// <summary>TOML text; errors name <paramref name="sourceName"/>.</summary>
    public static ConfigResult ReadText(string text, string sourceName, ConfigCatalog catalog)
    {
        ConfigErrors errors = new(sourceName);
        return Judge(TomlConfigReader.Read(text, errors), catalog, errors);
    }

    /// <summary>TOML in UTF-8, as <c>serve deploy</c> sends it.</summary>
    public static ConfigResult ReadToml(ReadOnlySpan<byte> utf8, string sourceName, ConfigCatalog catalog)
    {
        ConfigErrors errors = new(sourceName);
        return Text(utf8, errors) is string text
            ? Judge(TomlConfigReader.Read(text, errors), catalog, errors)
            : ConfigResult.Invalid(errors);
    }

    /// <summary>The same configuration as a JSON document in UTF-8, as REST and <c>serve config --json</c> have it.</summary>
    /// <param name="utf8">The document.</param>
    /// <param name="sourceName">For errors.</param>
    /// <param name="catalog">What it may refer to.</param>
    /// <param name="basis">Gives the tables that the document leaves out, all but the applications; <see langword="null"/> = their defaults.</param>
    public static ConfigResult ReadJson(ReadOnlySpan<byte> utf8, string sourceName, ConfigCatalog catalog, ServeConfig? basis = null)
    {
        ConfigErrors errors = new(sourceName);
        if (Text(utf8, errors) is not string text || JsonConfigReader.Read(text, errors) is not { } root)
        {
            return ConfigResult.Invalid(errors);
        }

        // Read anew, and only where there are errors: what is judged is not what was written any more.
        errors.Paths = new(() => JsonPaths.Of(JsonConfigReader.Read(text, new(sourceName))!));
        return Judge(WithoutRayKeys(root, errors), catalog, errors, basis);
    }

    /// <summary>The text of what was sent, or <see langword="null"/> and an error.</summary>
    private static string? Text(ReadOnlySpan<byte> utf8, ConfigErrors errors)
    {
        if (utf8.Length <= ConfigFile.MaxBytes)
        {
            return ConfigFile.Decode(utf8, errors);
        }

        ConfigFile.AddTooLarge(errors);
        return null;
    }

    private static ConfigNode WithoutRayKeys(ConfigNode root, ConfigErrors errors)
    {
        if (root.Kind == ConfigNodeKind.Table)
        {
            new RayKeys(errors).TakeOut(root);
        }

        return root;
    }

    private static ConfigResult Judge(ConfigNode? root, ConfigCatalog catalog, ConfigErrors errors, ServeConfig? basis = null)
    {
        if (root is null)
        {
            return ConfigResult.Invalid(errors);
        }

        if (root.Kind != ConfigNodeKind.Table)
        {
            errors.Add(root.Place, $"a configuration is a table (in JSON an object), not {TomlText.Quote(root)}");
            return ConfigResult.Invalid(errors);
        }

        OwnApplication.Complete(root, catalog.Own, errors);
        ServeConfig config = ConfigKeys.Root.Bind(basis is null ? ConfigKeys.Root.Create() : basis with { Applications = [] }, root, errors);
        new ConfigRules(catalog, errors).Check(root);
        return ConfigResult.Of(config, errors);
    }
}
