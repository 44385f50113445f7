using System.Globalization;
using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary>What <c>serve deploy</c> and <c>serve rollback</c> do once the server has accepted a goal: say so, or wait until it is known how it ends.</summary>
internal static class GenerationWait
{
    public static readonly CliOption Wait = new("--wait", null, "Wait until everything is healthy (exit code 0) or something has failed (1).");
    public static readonly CliOption Timeout = new("--timeout", "SECONDS", "With --wait: give up after this long. Default: 600.");

    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(100);

    public static async Task<int> FinishAsync(AdminClient client, JsonDocument accepted, CliArguments arguments, CliContext context, string sent)
    {
        JsonElement generation = accepted.RootElement;
        int number = generation.GetProperty("generation").GetInt32();
        if (generation.TryGetProperty("warnings", out JsonElement warnings))
        {
            foreach (JsonElement warning in warnings.EnumerateArray())
            {
                await context.Error.WriteLineAsync(warning.GetString());
            }
        }

        if (!arguments.Has(Wait.Name))
        {
            await context.Out.WriteLineAsync(arguments.Has(Command.Json.Name)
                ? generation.GetRawText()
                : $"{sent} It is generation {number}. 'serve status' shows how it comes up, 'serve config' what was accepted.");
            return Command.Done;
        }

        TimeSpan atMost = TimeoutOf(arguments);
        long since = TimeProvider.System.GetTimestamp();
        string shown = string.Empty;
        while (true)
        {
            using JsonDocument now = await client.GetJsonAsync($"/api/serve/generations/{number}");
            string outcome = now.RootElement.GetProperty("outcome").GetString()!;
            if (outcome != "pending")
            {
                return await EndAsync(now.RootElement, outcome, number, arguments, context);
            }

            if (TimeProvider.System.GetElapsedTime(since) > atMost)
            {
                await context.Error.WriteLineAsync($"Generation {number} was neither healthy nor failed after {atMost.TotalSeconds} s. It goes on: 'serve status' shows how.");
                return Command.Failed;
            }

            if (context.Colour)
            {
                shown = await ShowProgressAsync(client, context, shown);
            }

            await Task.Delay(LookAgain, TimeProvider.System);
        }
    }

    private static async Task<int> EndAsync(JsonElement generation, string outcome, int number, CliArguments arguments, CliContext context)
    {
        bool isGood = outcome == "good";
        if (arguments.Has(Command.Json.Name))
        {
            await context.Out.WriteLineAsync(generation.GetRawText());
        }
        else if (isGood)
        {
            await context.Out.WriteLineAsync($"Generation {number} is healthy.");
        }
        else
        {
            await context.Error.WriteLineAsync($"Generation {number} has {(outcome == "failed" ? "failed, and what was good before serves on" : "been superseded")}: {generation.GetProperty("reason").GetString()}");
        }

        return isGood ? Command.Done : Command.Failed;
    }

    /// <summary>One line per change, on a terminal.</summary>
    private static async Task<string> ShowProgressAsync(AdminClient client, CliContext context, string shown)
    {
        using JsonDocument details = await client.GetJsonAsync("/api/serve/applications/?view=full");
        string now = string.Join(", ", details.RootElement.GetProperty("applications").EnumerateObject().SelectMany(a => a.Value.GetProperty("deployments").EnumerateObject())
            .Select(d => $"{d.Name} {d.Value.GetProperty("status").GetString()} {string.Join(" ", d.Value.GetProperty("replica_states").EnumerateObject().Select(s => $"{s.Value} {s.Name}"))}"));
        if (now != shown)
        {
            await context.Out.WriteLineAsync(now);
        }

        return now;
    }

    private static TimeSpan TimeoutOf(CliArguments arguments)
    {
        string text = arguments.Value(Timeout.Name) ?? "600";
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) && seconds is > 0 and < 1e9
            ? TimeSpan.FromSeconds(seconds)
            : throw new UsageException($"{Timeout.Name} is '{text}': it must be a number of seconds above 0.");
    }
}
