using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Admin;

/// <summary>JSON answers of the admin port.</summary>
internal static class AdminJson
{
    public static async Task WriteAsync(HttpResponse response, int statusCode, Action<Utf8JsonWriter> write)
    {
        response.StatusCode = statusCode;
        response.ContentType = "application/json";
        await using Utf8JsonWriter json = new(response.BodyWriter, new() { Indented = true });
        write(json);
        await json.FlushAsync();
    }

    public static Task WriteErrorAsync(HttpResponse response, int statusCode, string message) => WriteAsync(response, statusCode, json =>
    {
        json.WriteStartObject();
        json.WriteString("error", message);
        json.WriteEndObject();
    });
}
