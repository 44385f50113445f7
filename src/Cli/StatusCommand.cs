using System.Globalization;
using System.Text.Json;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Cli;

/// <summary><c>serve status</c>.</summary>
internal sealed class StatusCommand : Command
{
    private const string Unsuccessful = "DEPLOY_FAILED";

    private static readonly CliOption Application = new("--name", "APP", "Only this application.");

    private static readonly CliOption Watch = new("--watch", null, "Show it again every second, until Ctrl+C.");

    private static readonly string[] Columns = ["APPLICATION", "ROUTE", "DEPLOYMENT", "STATUS", "REPLICAS", "ONGOING", "QUEUED", "SHED", "MESSAGE"];

    public override string Name => "status";

    public override string Summary => "Show how the applications of a running server are doing.";

    public override IReadOnlyList<CliOption> Options { get; } = [Address, Token, Application, Watch, Json];

    public override async Task<int> RunAsync(CliArguments arguments, CliContext context)
    {
        using AdminClient client = AdminClient.Create(arguments, context);
        if (!arguments.Has(Watch.Name))
        {
            return await ShowAsync(client, arguments, context);
        }

        while (!context.HasNoReader())
        {
            if (context.Colour)
            {
                await context.Out.WriteAsync("\e[H\e[2J");
            }

            if (await ShowAsync(client, arguments, context) is var code and not Done)
            {
                return code;
            }

            await Task.Delay(TimeSpan.FromSeconds(1), context.Time);
        }

        return Done;
    }

    private static async Task<int> ShowAsync(AdminClient client, CliArguments arguments, CliContext context)
    {
        using JsonDocument details = await client.GetJsonAsync("/api/serve/applications/?view=full");
        JsonElement applications = details.RootElement.GetProperty("applications");
        string? only = arguments.Value(Application.Name);
        if (only is not null && !applications.TryGetProperty(only, out _))
        {
            string known = string.Join(", ", applications.EnumerateObject().Select(a => a.Name));
            await context.Error.WriteLineAsync($"There is no application '{only}'. There are: {(known.Length == 0 ? "none" : known)}.");
            return Failed;
        }

        IEnumerable<JsonProperty> shown = applications.EnumerateObject().Where(a => only is null || a.Name == only);
        if (arguments.Has(Json.Name))
        {
            await context.Out.WriteLineAsync(ToJson(details.RootElement, shown));
            return Done;
        }

        foreach (JsonElement notice in details.RootElement.GetProperty("notices").EnumerateArray())
        {
            await context.Out.WriteLineAsync($"{notice.GetString()}\n");
        }

        await context.Out.WriteLineAsync(ToTable(shown, context.Colour));
        return Done;
    }

    /// <summary>Ray Serve's shape of a status.</summary>
    private static string ToJson(JsonElement details, IEnumerable<JsonProperty> applications)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new() { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteStartObject("proxies");
            foreach (JsonProperty proxy in details.GetProperty("proxies").EnumerateObject())
            {
                json.WriteString(proxy.Name, proxy.Value.GetProperty("status").GetString());
            }

            json.WriteEndObject();
            json.WriteStartObject("applications");
            foreach (JsonProperty application in applications)
            {
                json.WriteStartObject(application.Name);
                Copy(json, application.Value, "status", "message", "last_deployed_time_s");
                json.WriteStartObject("deployments");
                foreach (JsonProperty deployment in application.Value.GetProperty("deployments").EnumerateObject())
                {
                    json.WriteStartObject(deployment.Name);
                    Copy(json, deployment.Value, "status", "status_trigger", "replica_states", "message", "held_back", "log_tail");
                    json.WriteEndObject();
                }

                json.WriteEndObject();
                json.WriteEndObject();
            }

            json.WriteEndObject();
            json.WriteNull("target_capacity");
            json.WritePropertyName("notices");
            details.GetProperty("notices").WriteTo(json);
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void Copy(Utf8JsonWriter json, JsonElement from, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            json.WritePropertyName(name);
            from.GetProperty(name).WriteTo(json);
        }
    }

    private static string ToTable(IEnumerable<JsonProperty> applications, bool colour)
    {
        List<string[]> rows = [Columns];
        List<string> logs = [];
        foreach (JsonProperty application in applications)
        {
            // What has failed may go by another name than what serves on: a file of Python that cannot be imported does not say what its deployment is called.
            string whole = application.Value.GetProperty("status").GetString()!;
            bool failedElsewhere = whole == Unsuccessful && !application.Value.GetProperty("deployments").EnumerateObject().Any(d => StatusOf(d.Value) == Unsuccessful);
            foreach (JsonProperty deployment in application.Value.GetProperty("deployments").EnumerateObject())
            {
                JsonElement requests = deployment.Value.GetProperty("requests");
                string message = Sentences.Join(deployment.Value.GetProperty("message").GetString(), deployment.Value.GetProperty("held_back").GetString());
                rows.Add(
                [
                    application.Name,
                    application.Value.GetProperty("route_prefix").GetString() ?? "-",
                    deployment.Name,
                    failedElsewhere ? whole : StatusOf(deployment.Value),
                    $"{Running(deployment.Value)}/{deployment.Value.GetProperty("target_num_replicas").GetInt32()}",
                    Number(requests, "ongoing"),
                    Number(requests, "queued"),
                    Number(requests, "shed"),
                    message.Length > 0 ? message : application.Value.GetProperty("message").GetString()!,
                ]);
                if (deployment.Value.GetProperty("log_tail") is { } tail && tail.GetArrayLength() > 0)
                {
                    logs.Add($"\n\nThe last log lines of the replica of '{deployment.Name}' in application '{application.Name}' that failed:\n{string.Join('\n', tail.EnumerateArray().Select(l => $"  {l.GetString()}"))}");
                }
            }
        }

        return rows.Count == 1 ? "Nothing is deployed." : Table.Align(rows, colour ? (cell, column, padded) => column == 3 ? Coloured(cell, padded) : padded : null) + string.Concat(logs);
    }

    /// <summary>Ray Serve has no word for a deployment that is well and has not one replica, because the box holds none.</summary>
    private static string StatusOf(JsonElement deployment) =>
        deployment.GetProperty("status").GetString() is { } status && (status != "HEALTHY" || deployment.GetProperty("target_num_replicas").GetInt32() > 0 || deployment.GetProperty("held_back").ValueKind == JsonValueKind.Null)
            ? status
            : "HELD_BACK";

    private static int Running(JsonElement deployment) =>
        deployment.GetProperty("replica_states").TryGetProperty("RUNNING", out JsonElement running) ? running.GetInt32() : 0;

    private static string Number(JsonElement requests, string name) => requests.GetProperty(name).GetInt64().ToString(CultureInfo.InvariantCulture);

    private static string Coloured(string status, string text)
    {
        int code = status switch
        {
            "HEALTHY" => 32,
            Unsuccessful or "UNHEALTHY" => 31,
            _ => 33,
        };
        return $"\e[{code}m{text}\e[0m";
    }
}
