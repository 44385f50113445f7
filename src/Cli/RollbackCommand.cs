using System.Globalization;
using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary><c>serve rollback [N]</c>.</summary>
internal sealed class RollbackCommand : Command
{
    public override string Name => "rollback";

    public override string Arguments => "[N]";

    public override string Summary => "Make an earlier generation the goal again.";

    public override string Details => "Without N: the good generation before the one that runs. It becomes a new generation; 'serve history' lists them.";

    public override int MostArguments => 1;

    public override IReadOnlyList<CliOption> Options { get; } = [Address, Token, GenerationWait.Wait, GenerationWait.Timeout, Json];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        GenerationWait.Check(arguments);
        string query = string.Empty;
        if (arguments.Positional is [string number])
        {
            if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out _))
            {
                throw new UsageException($"'{number}' is not the number of a generation.");
            }

            query = $"?generation={number}";
        }

        using AdminClient client = AdminClient.Create(arguments, context);
        using ChangePatience patience = GenerationWait.PatienceOf(arguments, context);
        using JsonDocument accepted = await patience.TellAsync(client.ChangeAsync(HttpMethod.Post, $"/api/serve/rollback{query}", patience), GenerationWait.Builds);
        string from = accepted.RootElement.TryGetProperty("restored_from", out JsonElement restored) ? $"Going back to generation {restored}." : "It runs already.";
        return await GenerationWait.FinishAsync(client, accepted, patience, arguments, context, from);
    }
}
