using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary><c>serve config</c>.</summary>
internal sealed class ConfigCommand : Command
{
    private static readonly CliOption Diff = new("--diff", null, "Show instead what differs between what runs and the goal, or FILE.");

    public override string Name => "config";

    public override string Summary => "Print the configuration that a running server has accepted.";

    public override string Arguments => "[FILE]";

    public override int MostArguments => 1;

    public override IReadOnlyList<CliOption> Options { get; } = [Address, Token, Diff, Json];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        if (arguments.Positional.Count > 0 && !arguments.Has(Diff.Name))
        {
            throw new UsageException("A file makes sense only with --diff.");
        }

        using AdminClient client = AdminClient.Create(arguments, context);
        if (arguments.Has(Diff.Name))
        {
            return await DiffAsync(client, arguments, context);
        }

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

    private static async Task<int> DiffAsync(AdminClient client, CliArguments arguments, CliContext context)
    {
        using JsonDocument changes = arguments.Positional is [string file]
            ? await client.AskAsync($"/api/serve/config/diff?{client.OriginOf(file)}", await AdminClient.ReadFileAsync(file), "application/toml")
            : await client.GetJsonAsync("/api/serve/config?diff=running");
        JsonElement list = changes.RootElement.GetProperty("changes");
        if (arguments.Has(Json.Name))
        {
            await context.Out.WriteLineAsync(changes.RootElement.GetRawText());
        }
        else if (list.GetArrayLength() == 0)
        {
            await context.Out.WriteLineAsync("Nothing differs.");
        }
        else
        {
            foreach (JsonElement change in list.EnumerateArray())
            {
                await context.Out.WriteLineAsync($"{change.GetProperty("text").GetString()} ({change.GetProperty("update").GetString()})");
            }
        }

        return Done;
    }
}
