using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Serve.Embedded.Admin.Dashboard;
using Serve.Embedded.Admin.Metrics;
using Serve.Embedded.Config;
using Serve.Embedded.Controller.Generations;

namespace Serve.Embedded.Admin;

/// <summary>What the admin port answers. Paths and shapes are Ray Serve's where it has them.</summary>
internal sealed class AdminEndpoints(IAdminControl control)
{
    private const string Toml = "application/toml";

    /// <summary>The one whose shapes are answered.</summary>
    private const string RayVersion = "2.51.0";

    private static readonly string[] Paths =
    [
        "GET / (the dashboard)",
        "GET, PUT, DELETE /api/serve/applications/",
        "GET /api/serve/config",
        "POST /api/serve/config/diff",
        "GET /api/serve/generations/",
        "POST /api/serve/rollback",
        "POST /api/serve/shutdown",
        "POST /api/v1/applications/{application}/deployments/{deployment}/scale",
        "GET /api/ray/version",
        "GET /metrics",
        "GET /-/healthz",
    ];

    public void Map(IEndpointRouteBuilder routes)
    {
        // The framework's patterns match with and without a slash at the end.
        Map(routes, "/api/serve/applications", ("GET", Applications), ("PUT", DeployAsync), ("DELETE", EmptyAsync));
        Map(routes, "/api/serve/config", ("GET", Config));
        Map(routes, "/api/serve/config/diff", ("POST", DiffAsync));
        Map(routes, "/api/serve/generations", ("GET", Generations));
        Map(routes, "/api/serve/generations/{number:int}", ("GET", OneGeneration));
        Map(routes, "/api/serve/rollback", ("POST", RollbackAsync));
        Map(routes, "/api/serve/shutdown", ("POST", Shutdown));
        Map(routes, "/api/v1/applications/{application}/deployments/{deployment}/scale", ("POST", ScaleAsync));
        Map(routes, "/api/ray/version", ("GET", Version));
        Map(routes, "/metrics", ("GET", MetricsAsync));
        Map(routes, "/-/healthz", ("GET", context => TextAsync(context.Response, "text/plain; charset=utf-8", "success")));
        foreach (DashboardFile file in DashboardFile.All)
        {
            // All methods, so that what it does not have is a 405; whoever maps the same path for GET goes before it.
            routes.Map(file.Path, file.WriteAsync).WithMetadata(file);
        }

        routes.MapFallback(context => AdminJson.WriteErrorAsync(
            context.Response, StatusCodes.Status404NotFound, $"There is nothing here. The admin port has: {string.Join(", ", Paths)}."));
    }

    /// <summary>One path: what it answers, and 405 to every other method.</summary>
    private static void Map(IEndpointRouteBuilder routes, string pattern, params (string Method, RequestDelegate Answer)[] methods)
    {
        foreach ((string method, RequestDelegate answer) in methods)
        {
            routes.MapMethods(pattern, method == "GET" ? ["GET", "HEAD"] : [method], answer);
        }

        string allowed = string.Join(", ", methods.Select(m => m.Method == "GET" ? "GET, HEAD" : m.Method));
        routes.Map(pattern, context =>
        {
            context.Response.Headers.Allow = allowed;
            return AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status405MethodNotAllowed, $"{context.Request.Method} is nothing that can be done here. This path takes {allowed}.");
        });
    }

    /// <summary>For Prometheus. Who only asks whether it is there (HEAD) reads nothing, and so begins nothing.</summary>
    private Task MetricsAsync(HttpContext context)
    {
        context.Response.ContentType = PrometheusText.ContentType;
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : new MetricsDocument(context.Response.BodyWriter).WriteAsync(control.Telemetry, control.View);
    }

    private Task Applications(HttpContext context)
    {
        string type = context.Request.Query["api_type"].ToString();
        string view = context.Request.Query["view"].ToString();
        if (view is not ("" or "full"))
        {
            return AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status400BadRequest, $"view is '{view}': it must be full, or left out.");
        }

        return type is "" or "declarative" or "imperative"
            ? AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json => new DetailsJson(json, withOurs: view == "full").Write(control.View, withApplications: type != "imperative"))
            : AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status400BadRequest, $"api_type is '{type}': it must be declarative or imperative.");
    }

    /// <summary>A whole new goal: JSON as Ray Serve has it, or the text of a configuration file.</summary>
    private async Task DeployAsync(HttpContext context)
    {
        if (await ReadConfigAsync(context) is { } read)
        {
            await AcceptedAsync(context, await control.DeployAsync(read.Config!, Flag(context, "force"), Flag(context, "atomic")), read.Warnings);
        }
    }

    /// <summary>Removes all applications; the server stays.</summary>
    private async Task EmptyAsync(HttpContext context) =>
        await AcceptedAsync(context, await control.DeployAsync(control.View.Goal with { Applications = [] }, force: false, atomic: false));

    private Task Config(HttpContext context)
    {
        AdminView view = control.View;
        string diff = context.Request.Query["diff"].ToString();
        if (diff is not ("" or "running"))
        {
            return AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status400BadRequest, $"diff is '{diff}': it must be running, or left out.");
        }

        if (diff is "running")
        {
            return WriteChangesAsync(context.Response, ConfigDiff.Compare(view.Running, view.Goal));
        }

        string format = context.Request.Query["format"].ToString();
        return format switch
        {
            "" or "json" => TextAsync(context.Response, "application/json", ConfigWriter.ToJson(view.Goal)),
            "toml" => TextAsync(context.Response, "application/toml; charset=utf-8", ConfigWriter.ToToml(view.Goal)),
            _ => AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status400BadRequest, $"format is '{format}': it must be json or toml."),
        };
    }

    /// <summary>What a configuration that is sent would change.</summary>
    private async Task DiffAsync(HttpContext context)
    {
        if (await ReadConfigAsync(context) is { } read)
        {
            await WriteChangesAsync(context.Response, ConfigDiff.Compare(control.View.Running, read.Config!));
        }
    }

    private Task Generations(HttpContext context) => AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json =>
    {
        json.WriteStartObject();
        json.WriteStartArray("generations");
        foreach (Generation generation in control.Generations)
        {
            Write(json, generation);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    });

    private Task OneGeneration(HttpContext context)
    {
        int number = int.Parse((string)context.Request.RouteValues["number"]!, CultureInfo.InvariantCulture);
        Generation? generation = control.Generations.FirstOrDefault(g => g.Number == number);
        return generation is null
            ? AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status404NotFound, $"There is no generation {number}.")
            : AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json => Write(json, generation));
    }

    private async Task RollbackAsync(HttpContext context)
    {
        string text = context.Request.Query["generation"].ToString();
        if (text.Length > 0 && !int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            await AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status400BadRequest, $"generation is '{text}': it must be a number.");
            return;
        }

        await AcceptedAsync(context, await control.RollbackAsync(text.Length > 0 ? int.Parse(text, CultureInfo.InvariantCulture) : null));
    }

    private async Task Shutdown(HttpContext context)
    {
        context.Response.Headers.Connection = "close";
        await AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json =>
        {
            json.WriteStartObject();
            json.WriteString("message", "The server answers what has arrived, then ends.");
            json.WriteEndObject();
        });
        await context.Response.CompleteAsync();
        control.Shutdown();
    }

    /// <summary>Ray Serve's route for scalers of one's own. The number becomes part of the goal.</summary>
    private async Task ScaleAsync(HttpContext context)
    {
        string application = (string)context.Request.RouteValues["application"]!;
        string deployment = (string)context.Request.RouteValues["deployment"]!;
        if (await AdminBody.ReadAsync(context) is not { } body)
        {
            return;
        }

        if (!TryReadTarget(body, out int replicas))
        {
            await AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status400BadRequest, "The body must be {\"target_num_replicas\": N} with N from 1 to 10000.");
            return;
        }

        await control.ScaleAsync(application, deployment, replicas);
        await AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json =>
        {
            json.WriteStartObject();
            json.WriteString("message", "Scaling request received. Deployment will get scaled asynchronously.");
            json.WriteEndObject();
        });
    }

    private static bool TryReadTarget(byte[] body, out int replicas)
    {
        replicas = 0;
        try
        {
            using JsonDocument document = JsonDocument.Parse(body);
            return document.RootElement.ValueKind == JsonValueKind.Object &&
                document.RootElement.TryGetProperty("target_num_replicas", out JsonElement target) &&
                target.ValueKind == JsonValueKind.Number && target.TryGetInt32(out replicas) && replicas is >= 0 and <= 10_000;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <returns>A valid configuration; <see langword="null"/> = there is none, and the client has been told why.</returns>
    private async Task<ConfigResult?> ReadConfigAsync(HttpContext context)
    {
        if (await AdminBody.ReadAsync(context) is not { } body)
        {
            return null;
        }

        bool isToml = context.Request.ContentType?.StartsWith(Toml, StringComparison.OrdinalIgnoreCase) == true;
        string name = context.Request.Query["source"].ToString();
        string folder = context.Request.Query["folder"].ToString();
        ConfigResult read = control.Read(body, !isToml, name.Length > 0 ? name : "body", folder.Length > 0 ? folder : null);
        if (read.IsValid)
        {
            return read;
        }

        await AdminJson.WriteAsync(context.Response, StatusCodes.Status400BadRequest, json =>
        {
            json.WriteStartObject();
            json.WriteString("error", string.Join('\n', read.Errors));
            json.WriteStartArray("errors");
            foreach (ConfigError error in read.Errors)
            {
                json.WriteStringValue(error.ToString());
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
        return null;
    }

    private static Task AcceptedAsync(HttpContext context, Generation generation, IReadOnlyList<ConfigError>? warnings = null) =>
        AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json => Write(json, generation, warnings));

    private static void Write(Utf8JsonWriter json, Generation generation, IReadOnlyList<ConfigError>? warnings = null)
    {
        json.WriteStartObject();
        json.WriteNumber("generation", generation.Number);
        json.WriteString("accepted_at", generation.AcceptedAt);
        json.WriteString("source", GenerationText.Word(generation.Source));
        json.WriteString("path", generation.Path);
        json.WriteString("outcome", GenerationText.Word(generation.Outcome));
        json.WriteString("reason", generation.Reason);
        if (generation.EndedAt is { } endedAt)
        {
            json.WriteString("ended_at", endedAt);
        }

        if (generation.RestoredFrom is { } restoredFrom)
        {
            json.WriteNumber("restored_from", restoredFrom);
        }

        if (warnings is { Count: > 0 })
        {
            json.WriteStartArray("warnings");
            foreach (ConfigError warning in warnings)
            {
                json.WriteStringValue(warning.ToString());
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    private static Task WriteChangesAsync(HttpResponse response, IReadOnlyList<ConfigChange> changes) => AdminJson.WriteAsync(response, StatusCodes.Status200OK, json =>
    {
        json.WriteStartObject();
        json.WriteStartArray("changes");
        foreach (ConfigChange change in changes)
        {
            json.WriteStartObject();
            json.WriteString("path", change.Path);
            json.WriteString("before", change.Before);
            json.WriteString("after", change.After);
            json.WriteString("update", change.Update.ToString().ToLowerInvariant());
            json.WriteString("text", change.ToString());
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    });

    private static bool Flag(HttpContext context, string name) => context.Request.Query[name].ToString() is "true" or "1";

    private static Task Version(HttpContext context) => AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json =>
    {
        // "version" is that of the document's shape, as Ray has it. Ray's client reads the other as a version of Python's, and talks to none before 1.12.
        json.WriteStartObject();
        json.WriteString("version", "4");
        json.WriteString("ray_version", $"{RayVersion}+serve.embedded.{AdminJson.ServerVersion}");
        json.WriteString("ray_commit", string.Empty);
        json.WriteEndObject();
    });

    private static Task TextAsync(HttpResponse response, string contentType, string text)
    {
        response.ContentType = contentType;
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        response.ContentLength = bytes.Length;
        return response.Body.WriteAsync(bytes).AsTask();
    }
}
