using System.Text.Json;
using Serve.Embedded.Config;
using Serve.Embedded.Hosting;

namespace Serve.Embedded.Cli;

/// <summary><c>serve check CONFIG</c>.</summary>
internal sealed class CheckCommand : Command
{
    public override string Name => "check";

    public override string Arguments => "CONFIG";

    public override string Summary => "Say everything that is wrong with a configuration file.";

    public override string Details => "Nothing is started, and no Python is imported. What workers would not find on this machine is a warning. Exit code 1 if there is an error; a warning alone is none.";

    public override int MostArguments => 1;

    public override IReadOnlyList<CliOption> Options { get; } = [Json];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        if (arguments.Positional.Count == 0)
        {
            throw new UsageException("Which file? Write: serve check CONFIG.");
        }

        string file = arguments.Positional[0];
        ConfigResult result = ConfigSource.ReadFile(file, context.Registry);
        IReadOnlyList<ConfigError> warnings = result.IsValid ? [.. result.Warnings, .. WorkersHere.Missing(result.Config, context.Registry, file)] : result.Warnings;
        if (arguments.Has(Json.Name))
        {
            await context.Out.WriteLineAsync(ToJson(result, warnings));
        }
        else if (result.IsValid)
        {
            await WriteWarningsAsync(warnings, context.Error);
            ConfigCatalog catalog = ConfigSource.CatalogOf(context.Registry);

            // A file of Python, which is not imported here, has one that need not be written.
            int deployments = result.Config.Applications.Sum(a => Math.Max(1, catalog.DeploymentsOf(a).Count()));
            await context.Out.WriteLineAsync($"{file} is valid: {result.Config.Applications.Count} application(s), {deployments} deployment(s).");
        }
        else
        {
            await WriteWarningsAsync(warnings, context.Error);
            await ConfigSource.WriteErrorsAsync(result, context.Error);
        }

        return result.IsValid ? Done : Failed;
    }

    private static async Task WriteWarningsAsync(IEnumerable<ConfigError> warnings, TextWriter writer)
    {
        foreach (ConfigError warning in warnings)
        {
            await writer.WriteLineAsync(warning.ToString());
        }
    }

    private static string ToJson(ConfigResult result, IReadOnlyList<ConfigError> warnings)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            json.WriteBoolean("valid", result.IsValid);
            Write(json, "errors", result.Errors);
            Write(json, "warnings", warnings);
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void Write(Utf8JsonWriter json, string name, IReadOnlyList<ConfigError> errors)
    {
        json.WriteStartArray(name);
        foreach (ConfigError error in errors)
        {
            json.WriteStartObject();
            json.WriteString("source", error.Source);
            json.WriteNumber("line", error.Line);
            json.WriteNumber("column", error.Column);
            json.WriteString("message", error.Message);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
