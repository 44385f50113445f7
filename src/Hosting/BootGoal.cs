using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Hosting;

/// <summary>What a server starts with: its file, or the last good generation.</summary>
/// <param name="Config">The one or the other; <see langword="null"/> = neither can be had.</param>
/// <param name="Generation">The generation that it is; <see langword="null"/> = it is the file.</param>
/// <param name="WhyNoGeneration">Why it is not the generation that it should be, in sentences that say what to do; <see langword="null"/> = it is, or none was asked for.</param>
internal sealed record BootGoal(ServeConfig? Config, Generation? Generation, string? WhyNoGeneration)
{
    public static BootGoal Choose(ConfigResult file, GenerationStore store, BootOptions boot, ConfigCatalog catalog)
    {
        if (!boot.Resume && (!boot.Fallback || file.IsValid))
        {
            return new(file.Config, null, null);
        }

        Generation? good = store.LastGood;
        (ServeConfig? config, string? why) = Read(good, store, catalog);
        return config is null ? new(file.Config, null, why) : new(config, good, null);
    }

    /// <summary>The configuration of a good generation, or why there is none.</summary>
    public static (ServeConfig? Config, string? Why) Read(Generation? good, GenerationStore store, ConfigCatalog catalog)
    {
        if (good is null)
        {
            return (null, store.Unread is { } unread
                ? $"Generations of earlier runs cannot be read: {unread.TrimEnd('.')}."
                : $"No earlier run has left a good generation in {store.Folder}.");
        }

        ConfigResult read = good.Read(catalog);
        return (read.Config, read.IsValid ? null
            : $"Generation {good.Number} in {store.Folder}, the last that was good, is not valid for this executable: {Sentences.Join([.. read.Errors.Select(e => e.ToString()), "Start one that has what it names."])}");
    }
}
