using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Admin;

/// <summary>Reads a request's body whole; the server's limit bounds it.</summary>
internal static class AdminBody
{
    /// <returns><see langword="null"/> if it could not be read, and then the client has been told.</returns>
    public static async Task<byte[]?> ReadAsync(HttpContext context)
    {
        try
        {
            using MemoryStream body = new();
            await context.Request.Body.CopyToAsync(body, context.RequestAborted);
            return body.ToArray();
        }
        catch (BadHttpRequestException exception)
        {
            await AdminJson.WriteErrorAsync(context.Response, exception.StatusCode, $"The body cannot be read: {exception.Message}");
            return null;
        }
    }
}
