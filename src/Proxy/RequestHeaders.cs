using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Proxy;

/// <summary>The request headers that have a meaning to the server itself.</summary>
internal static class RequestHeaders
{
    private const string TimeoutHeader = "x-request-timeout-seconds";
    private const string ModelHeader = "serve_multiplexed_model_id";
    private const string SessionHeader = "x-session-id";
    private const string KeepOnDisconnectHeader = "x-request-disconnect-disabled";

    /// <summary>Longer than any request lives; keeps the arithmetic of deadlines within its range.</summary>
    private const double LongestTimeoutSeconds = 86_400 * 365;

    /// <summary>
    /// Whether there can be none of these: all that the request has is what nearly every client sends. To look for four headers that are not there was a tenth of what a small request costs;
    /// these are fields of Kestrel's.
    /// </summary>
    public static bool AreUsual(IHeaderDictionary headers)
    {
        // Who has seen them all need not look for the others.
        int others = headers.Count;
        return others == 0
            || (others -= Number(headers.Host)) == 0
            || (others -= Number(headers.UserAgent)) == 0
            || (others -= Number(headers.Accept)) == 0
            || (others -= Number(headers.AcceptEncoding)) == 0
            || (others -= Number(headers.Connection)) == 0
            || (others -= headers.ContentLength is null ? 0 : 1) == 0
            || (others -= Number(headers.ContentType)) == 0;
    }

    /// <summary>The client's own timeout if it sent one (0 or less: none), else the configured one.</summary>
    public static TimeSpan? Timeout(IHeaderDictionary headers, TimeSpan? configured) => Timeout(headers[TimeoutHeader], configured);

    /// <inheritdoc cref="Timeout(IHeaderDictionary, TimeSpan?)"/>
    public static TimeSpan? Timeout(StringValues sent, TimeSpan? configured)
    {
        if (sent.Count != 1 ||
            !double.TryParse(sent[0], NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) ||
            !double.IsFinite(seconds))
        {
            return configured;
        }

        return seconds <= 0 ? null : TimeSpan.FromSeconds(Math.Min(seconds, LongestTimeoutSeconds));
    }

    /// <summary>The model that the client asks for; <see langword="null"/> = none.</summary>
    public static string? ModelId(IHeaderDictionary headers) => headers[ModelHeader] is [{ Length: > 0 } id] ? id : null;

    /// <summary>The session that the client says the request belongs to; <see langword="null"/> = none.</summary>
    public static string? SessionId(IHeaderDictionary headers) => headers[SessionHeader] is [{ Length: > 0 } id] ? id : null;

    /// <summary>Whether the request goes on when its client leaves.</summary>
    public static bool OutlivesClient(IHeaderDictionary headers) => headers[KeepOnDisconnectHeader] is ["?1"];

    private static int Number(StringValues header) => header.Count > 0 ? 1 : 0;
}
