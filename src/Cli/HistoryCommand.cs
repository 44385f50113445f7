using System.Globalization;
using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary><c>serve history</c>.</summary>
internal sealed class HistoryCommand : Command
{
    public override string Name => "history";

    public override string Summary => "List the generations: what was accepted, when, from where, and how it ended.";

    public override string Details => "The last 20 are kept, and the last good one. 'serve rollback N' brings one back.";

    public override IReadOnlyList<CliOption> Options { get; } = [Address, Token, Json];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        using AdminClient client = AdminClient.Create(arguments, context);
        using JsonDocument history = await client.GetJsonAsync("/api/serve/generations/");
        if (arguments.Has(Json.Name))
        {
            await context.Out.WriteLineAsync(history.RootElement.GetRawText());
            return Done;
        }

        List<string[]> rows = [["GENERATION", "ACCEPTED", "SOURCE", "OUTCOME", "REASON"]];
        rows.AddRange(history.RootElement.GetProperty("generations").EnumerateArray().Select(Row));
        await context.Out.WriteLineAsync(rows.Count == 1 ? "Nothing was ever accepted." : Table.Align(rows));
        return Done;
    }

    private static string[] Row(JsonElement generation) =>
    [
        generation.GetProperty("generation").GetInt32().ToString(CultureInfo.InvariantCulture),
        generation.GetProperty("accepted_at").GetDateTimeOffset().ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture),
        $"{generation.GetProperty("source").GetString()}{(generation.TryGetProperty("restored_from", out JsonElement from) ? $" (from {from})" : "")}",
        generation.GetProperty("outcome").GetString()!,
        generation.GetProperty("reason").GetString() ?? string.Empty,
    ];
}
