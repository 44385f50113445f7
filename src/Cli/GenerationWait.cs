using System.Globalization;
using System.Text.Json;

namespace Serve.Embedded.Cli;

/// <summary>What <c>serve deploy</c> and <c>serve rollback</c> do once the server has accepted a goal: say so, or wait until it is known how it ends.</summary>
internal static class GenerationWait
{
    public static readonly CliOption Wait = new("--wait", null, "Wait until everything is healthy (exit code 0) or something has failed (1).");
    public static readonly CliOption Timeout = new("--timeout", "SECONDS", "With --wait: give up after this long. Default: 600.");

    /// <summary>What the server does before it accepts a goal.</summary>
    public const string Builds = "Waiting for the server to build the applications...";

    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(100);

    /// <summary>What is wrong with the options is told before anything is sent: wrong usage must change nothing.</summary>
    /// <exception cref="UsageException">They make no sense.</exception>
    public static void Check(CliArguments arguments)
    {
        if (arguments.Has(Timeout.Name) && !arguments.Has(Wait.Name))
        {
            throw new UsageException($"{Timeout.Name} makes sense only with {Wait.Name}.");
        }

        _ = TimeoutOf(arguments);
    }

    /// <summary>For the answer, and with --wait for how it ends.</summary>
    public static ChangePatience PatienceOf(CliArguments arguments, CliContext context) => new(context, TimeoutOf(arguments));

    public static async Task<int> FinishAsync(AdminClient client, JsonDocument accepted, ChangePatience patience, CliArguments arguments, CliContext context, string sent)
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

        string shown = string.Empty;
        long since = context.Time.GetTimestamp();
        bool isTold = context.Colour;
        while (true)
        {
            using JsonDocument now = await LookAsync(client, number);
            string outcome = now.RootElement.GetProperty("outcome").GetString()!;
            if (outcome != "pending")
            {
                return await EndAsync(client, now.RootElement, outcome, number, arguments, context);
            }

            if (patience.IsInterrupted)
            {
                throw new InterruptedException($"Interrupted. Generation {number} goes on: 'serve status' shows how it comes up, 'serve history' how it has ended, and 'serve rollback' takes it back.");
            }

            if (patience.Over.IsCancellationRequested)
            {
                await context.Error.WriteLineAsync($"Generation {number} was neither healthy nor failed after {patience.AtMost.TotalSeconds} s. It goes on: 'serve status' shows how.");
                return Command.Failed;
            }

            if (context.Colour)
            {
                shown = await ShowProgressAsync(client, context, shown);
            }

            if (!isTold && patience.IsSilentSince(since))
            {
                await context.Error.WriteLineAsync($"Generation {number} is accepted. Waiting until it is healthy...");
                isTold = true;
            }

            await Task.Delay(LookAgain, context.Time, patience.Over).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <exception cref="AdminException">It cannot be told any more.</exception>
    private static async Task<JsonDocument> LookAsync(AdminClient client, int number)
    {
        try
        {
            return await client.GetJsonAsync($"/api/serve/generations/{number}");
        }
        catch (AdminException exception)
        {
            throw new AdminException($"Generation {number} was accepted, and its end is not known, since the server can no longer be asked: {exception.Message}");
        }
    }

    private static async Task<int> EndAsync(AdminClient client, JsonElement generation, string outcome, int number, CliArguments arguments, CliContext context)
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
            string ended = outcome != "failed" ? "been superseded" : await AnyWasGoodAsync(client, number) ? "failed, and what was good before serves on" : "failed, and none before it was good";
            await context.Error.WriteLineAsync($"Generation {number} has {ended}: {generation.GetProperty("reason").GetString()}");
        }

        if (isGood)
        {
            await TellHeldBackAsync(client, context);
        }

        return isGood ? Command.Done : Command.Failed;
    }

    private static async Task<bool> AnyWasGoodAsync(AdminClient client, int before)
    {
        using JsonDocument all = await client.GetJsonAsync("/api/serve/generations/");
        return all.RootElement.GetProperty("generations").EnumerateArray().Any(g => g.GetProperty("outcome").GetString() == "good" && g.GetProperty("generation").GetInt32() < before);
    }

    /// <summary>What the box keeps down is no failure, but who deploys it wants to know.</summary>
    private static async Task TellHeldBackAsync(AdminClient client, CliContext context)
    {
        using JsonDocument details = await client.GetJsonAsync("/api/serve/applications/?view=full");
        foreach (JsonProperty application in details.RootElement.GetProperty("applications").EnumerateObject())
        {
            foreach (JsonProperty deployment in application.Value.GetProperty("deployments").EnumerateObject())
            {
                if (deployment.Value.GetProperty("held_back").GetString() is { } why)
                {
                    await context.Error.WriteLineAsync($"Deployment '{deployment.Name}' of application '{application.Name}': {why}");
                }
            }
        }
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
        if (arguments.Value(Timeout.Name) is not { } text)
        {
            return ChangePatience.Usual;
        }

        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) && seconds is > 0 and < 1e9
            ? TimeSpan.FromSeconds(seconds)
            : throw new UsageException($"{Timeout.Name} is '{text}': it must be a number of seconds above 0.");
    }
}
