using System.Text;
using System.Text.Json;
using Serve.Embedded.Handles;

namespace Serve.Embedded.Proxy;

/// <summary>
/// The paths that the server answers itself, on the data port: <c>/-/healthz</c> (alive, and has had routes), <c>/-/readyz</c> (send traffic here) and
/// <c>/-/routes</c>. They are neither logged nor counted.
/// </summary>
internal static class BuiltInPaths
{
    private const string Draining = "This node is being drained.";
    private const string NoRoutes = "Route table is not populated yet.";
    private const string NoReplicas = "No replicas are available yet.";

    public static bool TryAnswer(string path, RouteTable routes, bool hadRoutes, bool isDraining, out int statusCode, out string contentType, out string body)
    {
        contentType = "text/plain; charset=utf-8";
        body = string.Empty;
        statusCode = 200;
        string? trouble = isDraining ? Draining : hadRoutes ? null : NoRoutes;
        switch (path)
        {
            case "/-/healthz":
                body = trouble ?? "success";
                break;
            case "/-/readyz":
                trouble ??= routes.Routes.Any(HasNoReplica) ? NoReplicas : null;
                body = trouble ?? "success";
                break;
            case "/-/routes":
                body = trouble ?? RoutesJson(routes);
                contentType = trouble is null ? "application/json" : contentType;
                break;
            default:
                return false;
        }

        statusCode = trouble is null ? 200 : 503;
        return true;
    }

    private static bool HasNoReplica(ServedApplication application) =>
        application.Ingress.Gate.Replicas.Length == 0 && !application.ExpectsReplicas;

    private static string RoutesJson(RouteTable routes)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            foreach (ServedApplication application in routes.Routes)
            {
                json.WriteString(application.RoutePrefix!, application.Name);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
