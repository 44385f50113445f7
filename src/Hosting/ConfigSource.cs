using Serve.Embedded.Config;

namespace Serve.Embedded.Hosting;

/// <summary>Where the configuration comes from: a file, with what flags and environment variables put on top. Read anew at every reload.</summary>
/// <param name="path">The file, as the operator named it.</param>
/// <param name="registry">What a configuration may refer to.</param>
/// <param name="flags">Overrides from the command line, by flag.</param>
/// <param name="environment">Reads an environment variable.</param>
internal sealed class ConfigSource(string path, DeploymentRegistry registry, IReadOnlyDictionary<string, string> flags, Func<string, string?> environment)
{
    public string Path => path;

    public static ConfigResult ReadFile(string path, DeploymentRegistry registry) => ConfigReader.ReadFile(path, CatalogOf(registry));

    /// <summary>One line per error, then how many there are and that nothing was done.</summary>
    public static async Task WriteErrorsAsync(ConfigResult result, TextWriter writer)
    {
        foreach (ConfigError error in result.Errors)
        {
            await writer.WriteLineAsync(error.ToString());
        }

        await writer.WriteLineAsync($"{result.Errors.Count} error(s); nothing was started.");
    }

    public ConfigResult Read()
    {
        ConfigResult file = ReadFile(path, registry);
        return file.IsValid ? ConfigOverrides.Apply(file.Config, flags, environment) : file;
    }

    private static ConfigCatalog CatalogOf(DeploymentRegistry registry) => new(registry.Applications.ToDictionary(
        a => a.Key, a => (IReadOnlyList<string>)[.. a.Value.Deployments.Select(d => d.Name)], StringComparer.Ordinal));
}
