using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Serve.Embedded.Handles;

namespace Serve.Embedded.Proxy;

/// <summary>The answers that the proxy gives itself, word for word as Ray Serve gives them where it has them.</summary>
internal static class ErrorResponses
{
    public const string InternalServerError = "Internal Server Error";

    /// <summary>Says, with the value <c>?1</c>, that nothing of the request was run.</summary>
    public const string NotRunHeader = "X-Request-Not-Run";

    private static readonly StringValues Yes = "?1";

    public static string NotFound(string path) => $"Path '{path}' not found. Ping http://.../-/routes for available routes.";

    public static string TimedOut(string requestId, TimeSpan timeout) => string.Create(
        CultureInfo.InvariantCulture, $"Request {requestId} timed out after {timeout.TotalSeconds:0.0######}s.");

    public static string BodyTooLarge(long length, long limit) => string.Create(
        CultureInfo.InvariantCulture, $"The request body of {length} bytes is larger than max_request_body_bytes = {limit}.");

    /// <summary>Tells the client that the connection closes after this response. Later versions of HTTP than 1.1 have no such header, and end the stream by themselves.</summary>
    public static void CloseConnection(IHttpRequestFeature request, IHttpResponseFeature response)
    {
        if (request.Protocol.StartsWith("HTTP/1.", StringComparison.Ordinal))
        {
            response.Headers.Connection = "close";
        }
    }

    /// <summary>Tells the client that nothing of the request was run: it may be sent again whatever it does.</summary>
    public static void SayNotRun(IHttpResponseFeature response) => response.Headers[NotRunHeader] = Yes;

    public static Task WriteAsync(IFeatureCollection features, IHttpResponseFeature response, IHttpResponseBodyFeature body, Refusal refusal)
    {
        response.Headers.RetryAfter = refusal.RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
        return WriteAsync(features, response, body, refusal.StatusCode, refusal.Body);
    }

    public static Task WriteAsync(IFeatureCollection features, IHttpResponseFeature response, IHttpResponseBodyFeature body, int statusCode, string message) =>
        WriteAsync(features, response, body, statusCode, Encoding.UTF8.GetBytes(message));

    private static Task WriteAsync(IFeatureCollection features, IHttpResponseFeature response, IHttpResponseBodyFeature body, int statusCode, ReadOnlyMemory<byte> message)
    {
        response.StatusCode = statusCode;
        response.Headers.ContentType = "text/plain; charset=utf-8";

        // A body that nobody will read: without this the client would go on sending it before it could send anything else.
        if (features[typeof(IHttpRequestBodyDetectionFeature)] is IHttpRequestBodyDetectionFeature { CanHaveBody: true })
        {
            CloseConnection(features.GetRequiredFeature<IHttpRequestFeature>(), response);
        }

        response.Headers.ContentLength = message.Length;
        ValueTask<System.IO.Pipelines.FlushResult> write = body.Writer.WriteAsync(message);
        return write.IsCompletedSuccessfully ? Task.CompletedTask : write.AsTask();
    }
}
