using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Proxy;

/// <summary>
/// What Kestrel lets pass although another server, in front of this one or behind it, could read it as another request or as more than one. Such a request goes to nobody,
/// and its connection closes.
/// </summary>
internal static class RequestFaults
{
    /// <summary>Where Kestrel puts the length of a request that has a Transfer-Encoding too.</summary>
    private const string SetAsideLength = "X-Content-Length";

    /// <summary>What is wrong with the request; <see langword="null"/> = nothing.</summary>
    /// <param name="features">Its.</param>
    /// <param name="request">It.</param>
    /// <param name="hasUsualHeaders">It has no Transfer-Encoding: <see cref="RequestHeaders.AreUsual"/>.</param>
    /// <param name="statusCode">What to answer.</param>
    public static string? Of(IFeatureCollection features, IHttpRequestFeature request, bool hasUsualHeaders, out int statusCode)
    {
        statusCode = StatusCodes.Status400BadRequest;
        StringValues encoding = hasUsualHeaders ? default : request.Headers.TransferEncoding;
        if (encoding.Count > 0)
        {
            if (encoding.Count > 1 || !"chunked".Equals(encoding[0], StringComparison.OrdinalIgnoreCase))
            {
                statusCode = StatusCodes.Status501NotImplemented;
                return $"Transfer-Encoding '{encoding}' is not supported: send the body with Transfer-Encoding: chunked and nothing else, or with a Content-Length.";
            }

            if (request.Headers.ContainsKey(SetAsideLength) || request.Headers.ContentLength is not null)
            {
                return "The request has both Content-Length and Transfer-Encoding, so that it is not certain where it ends. Send one of them.";
            }

            if (HttpProtocol.IsHttp10(request.Protocol))
            {
                return "The request has a Transfer-Encoding, which HTTP/1.0 does not know. Send it as HTTP/1.1, or with a Content-Length.";
            }
        }

        if (HasControlCharacter(request.RawTarget))
        {
            return "The request's target holds a control character. Percent-encode it.";
        }

        // In HTTP/2 a WebSocket begins with this method, as it does with GET and an upgrade before.
        if (HttpMethods.IsConnect(request.Method) && (request.Headers.ContentLength is not null || !UpgradeOffer.IsExtendedConnect(features)))
        {
            // What follows a CONNECT may be meant for the other end of a tunnel: it must not be read as requests.
            statusCode = StatusCodes.Status405MethodNotAllowed;
            return "CONNECT is not allowed: this server is no tunnel.";
        }

        return null;
    }

    private static bool HasControlCharacter(ReadOnlySpan<char> target) => target.ContainsAnyInRange('\0', ' ') || target.Contains('\x7F');
}
