using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary><c>serve config</c>.</summary>
internal sealed class ConfigCommand : Command
{
    public override string Name => "config";

    public override string Summary => "Print the configuration that a running server has accepted.";

    public override IReadOnlyList<CliOption> Options { get; } = [Address, Json];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        using AdminClient client = AdminClient.Create(arguments, context);
        using JsonDocument config = await client.GetJsonAsync("/api/serve/config");
        if (arguments.Has(Json.Name))
        {
            await context.Out.WriteLineAsync(config.RootElement.GetRawText());
        }
        else if (!config.RootElement.TryGetProperty("applications", out JsonElement applications) || applications.GetArrayLength() == 0)
        {
            await context.Out.WriteLineAsync("No configuration was found.");
        }
        else
        {
            await context.Out.WriteAsync(await client.GetAsync("/api/serve/config?format=toml"));
        }

        return Done;
    }
}
