using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Serve.Embedded.Config;

namespace Serve.Embedded.Admin;

/// <summary>What the admin port answers. Paths and shapes are Ray Serve's where it has them.</summary>
internal sealed class AdminEndpoints(Func<AdminView> view)
{
    private static readonly string[] Paths = ["/api/serve/applications/", "/api/serve/config", "/api/ray/version", "/-/healthz"];

    public void Map(IEndpointRouteBuilder routes)
    {
        // The framework's patterns match with and without a slash at the end.
        routes.MapGet("/api/serve/applications", Applications);
        routes.MapGet("/api/serve/config", Config);
        routes.MapGet("/api/ray/version", Version);
        routes.MapGet("/-/healthz", context => TextAsync(context.Response, "text/plain; charset=utf-8", "success"));
        routes.MapFallback(context => AdminJson.WriteErrorAsync(
            context.Response,
            StatusCodes.Status404NotFound,
            $"There is nothing here. The admin port has: {string.Join(", ", Paths)}."));
    }

    private Task Applications(HttpContext context) =>
        AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json => DetailsJson.Write(json, view()));

    private Task Config(HttpContext context)
    {
        string format = context.Request.Query["format"].ToString();
        return format switch
        {
            "" or "json" => TextAsync(context.Response, "application/json", ConfigWriter.ToJson(view().Config)),
            "toml" => TextAsync(context.Response, "application/toml; charset=utf-8", ConfigWriter.ToToml(view().Config)),
            _ => AdminJson.WriteErrorAsync(context.Response, StatusCodes.Status400BadRequest, "format must be json or toml."),
        };
    }

    private static Task Version(HttpContext context) => AdminJson.WriteAsync(context.Response, StatusCodes.Status200OK, json =>
    {
        // "version" is that of the document's shape, as Ray has it.
        json.WriteStartObject();
        json.WriteString("version", "4");
        json.WriteString("ray_version", $"serve.embedded-{typeof(AdminEndpoints).Assembly.GetName().Version?.ToString(3)}");
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
