using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Admin;

/// <summary>JSON answers of the admin port.</summary>
internal static class AdminJson
{
    /// <summary>Quotes as \" and text beyond ASCII as it is, for people who read an answer raw. Nobody takes it for a page: its type says what it is.</summary>
    private static readonly JsonWriterOptions Options = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The server's own version, such as <c>0.1.0</c>.</summary>
    public static string? ServerVersion { get; } = typeof(AdminJson).Assembly.GetName().Version?.ToString(3);

    public static async Task WriteAsync(HttpResponse response, int statusCode, Action<Utf8JsonWriter> write)
    {
        response.StatusCode = statusCode;
        response.ContentType = "application/json";
        await using Utf8JsonWriter json = new(response.BodyWriter, Options);
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
