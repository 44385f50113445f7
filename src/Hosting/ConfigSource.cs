using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>Where the configuration comes from: a file, with what flags and environment variables put on top. Read anew at every reload.</summary>
/// <param name="path">The file, as the operator named it; <see langword="null"/> = there is none, and the server starts empty.</param>
/// <param name="registry">What a configuration may refer to.</param>
/// <param name="flags">Overrides from the command line, by flag.</param>
/// <param name="environment">Reads an environment variable.</param>
/// <param name="own">Applications that code adds; <see langword="null"/> = none.</param>
internal sealed class ConfigSource(
    string? path, DeploymentRegistry registry, IReadOnlyDictionary<string, string> flags, Func<string, string?> environment, IReadOnlyList<OwnApplication>? own = null)
{
    private readonly Lock _gate = new();
    private (DateTime WrittenAt, long Length) _seen;
    private ConfigResult? _lastRead;

    public string? Path => path;

    /// <summary>That of the file; the current one where there is none.</summary>
    public string Folder { get; } = ConfigFile.FolderOf(path);

    /// <summary>What a configuration may refer to.</summary>
    public ConfigCatalog Catalog { get; } = CatalogOf(registry) with { Own = own ?? [] };

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

    /// <summary>Writes what was read with warnings to the log.</summary>
    public static void TellWarnings(ConfigResult read, ILogger logger)
    {
        foreach (ConfigError warning in read.Warnings)
        {
            Log.ConfigWarning(logger, warning.ToString());
        }
    }

    /// <summary>Writes to the log that nothing was changed, and why.</summary>
    public void TellRefused(IReadOnlyList<string> errors, ILogger logger)
    {
        foreach (string error in errors)
        {
            Log.ConfigError(logger, error);
        }

        Log.ReloadRefused(logger, Path ?? "the configuration", errors.Count);
    }

    public ConfigResult Read()
    {
        ConfigResult file = path is null ? ConfigResult.Valid(WithOwn(new())) : ConfigReader.ReadFile(path, Catalog);
        return WithOverrides(file);
    }

    /// <summary>The same with those of code's own applications that it leaves out.</summary>
    public ServeConfig WithOwn(ServeConfig config)
    {
        ApplicationConfig[] missing = [.. Catalog.Own.Where(o => config.Applications.All(a => a.Name != o.Name)).Select(o => o.Unwritten)];
        return missing.Length == 0 ? config : config with { Applications = [.. config.Applications, .. missing] };
    }

    /// <summary>What somebody sent. JSON may leave tables out, which are then as they are in <paramref name="basis"/>.</summary>
    /// <param name="utf8">Its text.</param>
    /// <param name="isJson">JSON, or TOML.</param>
    /// <param name="name">What errors call it.</param>
    /// <param name="folder">Where a file of TOML came from, if that is known. One that is not on this machine says nothing.</param>
    /// <param name="basis">What runs.</param>
    public ConfigResult Read(ReadOnlySpan<byte> utf8, bool isJson, string name, string? folder, ServeConfig basis)
    {
        if (isJson)
        {
            return ConfigReader.ReadJson(utf8, name, Catalog, basis);
        }

        ConfigResult read = WithOverrides(ConfigReader.ReadToml(utf8, name, Catalog));
        return read.IsValid && folder is not null && folder != Folder && System.IO.Path.IsPathFullyQualified(folder) && Directory.Exists(folder)
            ? ConfigResult.Valid(WorkingDirs.SeenFrom(read.Config, folder)).After(read)
            : read;
    }

    /// <summary>In one sentence, how the file differs from this; <see langword="null"/> = it does not. The file is only read again when it has changed.</summary>
    public (string What, string ToDo)? DiffersFrom(ServeConfig config)
    {
        if (path is null)
        {
            return null;
        }

        ConfigResult read;
        lock (_gate)
        {
            FileInfo file = new(path);
            (DateTime, long) now = file.Exists ? (file.LastWriteTimeUtc, file.Length) : default;
            if (_lastRead is null || now != _seen)
            {
                _lastRead = Read();
                _seen = now;
            }

            read = _lastRead;
        }

        if (!read.IsValid)
        {
            string first = read.Errors[0].ToString();
            return ($"it has {read.Errors.Count} error(s), the first: {first}{(first.EndsWith('?') ? "" : ".")}", "Mend the file and send SIGHUP.");
        }

        IReadOnlyList<ConfigChange> changes = ConfigDiff.Compare(config, read.Config);
        return changes.Count == 0 ? null : ($"{changes.Count} key(s) differ, the first: {changes[0]}.", "SIGHUP makes the file the goal.");
    }

    private ConfigResult WithOverrides(ConfigResult result) => result.IsValid ? ConfigOverrides.Apply(result.Config, flags, environment).After(result) : result;

    public static ConfigCatalog CatalogOf(DeploymentRegistry registry) => new(registry.Applications.ToDictionary(
        a => a.Key, a => (IReadOnlyList<string>)[.. a.Value.Deployments.Select(d => d.Name)], StringComparer.Ordinal))
    {
        Policies = [.. registry.AutoscalingPolicies.Keys],
    };
}
