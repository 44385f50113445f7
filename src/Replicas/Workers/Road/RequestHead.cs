using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Writes a request's line and headers for a worker, rebuilt from what the server has parsed: nothing that a client could hide in its own bytes goes through.
/// </summary>
internal static class RequestHead
{
    private const string RequestId = "X-Request-ID";
    private const string TraceParent = "traceparent";
    private const string TraceState = "tracestate";
    private const string WebSocketKey = "Sec-WebSocket-Key";

    /// <param name="features">The request.</param>
    /// <param name="request">The same one's line and headers.</param>
    /// <param name="framing">How its body is sent.</param>
    /// <param name="upgrade">What the worker is offered to take over; <see langword="null"/> = nothing.</param>
    /// <param name="buffer">Where it is written.</param>
    /// <exception cref="BadHttpRequestException">A header is none that another server must understand in the same way.</exception>
    public static void Write(IFeatureCollection features, IHttpRequestFeature request, BodyFraming framing, UpgradeOffer? upgrade, WireBuffer buffer)
    {
        buffer.Write(upgrade?.Key is null ? request.Method : HttpMethods.Get);
        buffer.Write(" "u8);
        RequestTarget.Write(request, buffer);
        buffer.Write(" HTTP/1.1\r\n"u8);

        IHeaderDictionary headers = request.Headers;
        WriteHost(features, headers.Host, buffer);

        string? requestId = RequestScope.Current?.RequestId;
        Activity? span = Activity.Current is { IdFormat: ActivityIdFormat.W3C } current ? current : null;
        StringValues connection = headers.Connection;
        bool namesOthers = HopByHop.NamesOthers(connection);
        foreach (KeyValuePair<string, StringValues> header in headers)
        {
            if (IsWrittenApart(header.Key, requestId, span) || (upgrade?.Key is not null && Same(header.Key, WebSocketKey)) || HopByHop.Is(header.Key) || (namesOthers && HopByHop.IsNamed(connection, header.Key)))
            {
                continue;
            }

            ThrowIfInvalid(header.Key, header.Value);
            WriteHeader(header.Key, header.Value, buffer);
        }

        if (requestId is not null)
        {
            WriteHeader(RequestId, requestId, buffer);
        }

        if (span is not null)
        {
            // The worker's spans are children of ours; without one, the client's own headers have gone on as they came.
            WriteHeader(TraceParent, span.Id, buffer);
            WriteHeader(TraceState, span.TraceStateString, buffer);
        }

        WriteForwarded(features, request, headers, buffer);
        WriteConnection(headers, framing, upgrade, buffer);
        buffer.Write("\r\n"u8);
    }

    /// <summary>Whether a header says where a request goes or ends, so that it must not come after the body.</summary>
    public static bool Frames(string name) => IsWrittenApart(name, requestId: null, span: null);

    private static void ThrowIfInvalid(string name, StringValues values)
    {
        if (!HeaderText.IsName(name))
        {
            throw new BadHttpRequestException("The name of a request header holds a character that no name may have. Letters, digits and !#$%&'*+-.^_`|~ are allowed.");
        }

        foreach (string? value in values)
        {
            if (value is not null && !HeaderText.IsValue(value))
            {
                throw new BadHttpRequestException($"The request header {name} holds a control character.");
            }
        }
    }

    private static bool IsWrittenApart(string name, string? requestId, Activity? span) => name.Length switch
    {
        4 => Same(name, "Host"),
        6 => Same(name, "Expect"),
        10 => span is not null && Same(name, TraceState),
        11 => span is not null && Same(name, TraceParent),
        12 => requestId is not null && Same(name, RequestId),
        14 => Same(name, "Content-Length"),
        15 => Same(name, "X-Forwarded-For"),
        16 => Same(name, "X-Forwarded-Host"),
        17 => Same(name, "X-Forwarded-Proto"),
        18 => Same(name, "X-Forwarded-Prefix"),
        _ => false,
    };

    /// <summary>In HTTP/1.0 a request may be without, as the checks of load balancers are. In HTTP/1.1 servers refuse that, and many an empty one: it gets where its client found this server.</summary>
    private static void WriteHost(IFeatureCollection features, StringValues host, WireBuffer buffer)
    {
        if (StringValues.IsNullOrEmpty(host))
        {
            host = features.Get<IHttpConnectionFeature>() is { LocalIpAddress: { } address, LocalPort: var port }
                ? new IPEndPoint(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : new(address.GetAddressBytes()), port).ToString()
                : "localhost";
        }

        WriteHeader("Host", host, buffer);
    }

    private static void WriteForwarded(IFeatureCollection features, IHttpRequestFeature request, IHeaderDictionary headers, WireBuffer buffer)
    {
        IPAddress? client = features.Get<IHttpConnectionFeature>()?.RemoteIpAddress;
        StringValues sent = headers["X-Forwarded-For"];
        if (client is not null || sent.Count > 0)
        {
            buffer.Write("X-Forwarded-For: "u8);
            bool any = false;
            foreach (string? value in sent)
            {
                if (!string.IsNullOrEmpty(value) && HeaderText.IsValue(value))
                {
                    Separate(any, buffer);
                    buffer.Write(value);
                    any = true;
                }
            }

            if (client is not null)
            {
                Separate(any, buffer);
                buffer.Write(client.IsIPv4MappedToIPv6 ? client.MapToIPv4() : client);
            }

            buffer.Write("\r\n"u8);
        }

        WriteHeader("X-Forwarded-Proto", request.Scheme, buffer);
        if (headers.Host.Count > 0)
        {
            WriteHeader("X-Forwarded-Host", headers.Host, buffer);
        }

        if (request.PathBase.Length > 0)
        {
            WriteHeader("X-Forwarded-Prefix", new PathString(request.PathBase).ToUriComponent(), buffer);
        }
    }

    private static void WriteConnection(IHeaderDictionary headers, BodyFraming framing, UpgradeOffer? upgrade, WireBuffer buffer)
    {
        if (framing.IsChunked)
        {
            buffer.Write("Transfer-Encoding: chunked\r\n"u8);
            WriteHeader("Trailer", headers.Trailer, buffer);
        }
        else if (framing.Length is { } length)
        {
            buffer.Write("Content-Length: "u8);
            buffer.Write(length);
            buffer.Write("\r\n"u8);
        }

        if (upgrade is not null)
        {
            buffer.Write("Connection: Upgrade\r\n"u8);
            WriteHeader("Upgrade", upgrade.Protocols, buffer);
            if (upgrade.Key is { } key)
            {
                WriteHeader(WebSocketKey, key, buffer);
            }
        }
        else if (HopByHop.IsNamed(headers.TE, "trailers"))
        {
            buffer.Write("Connection: TE\r\nTE: trailers\r\n"u8);
        }
    }

    /// <summary>Writes what may stand in a header, and nothing else.</summary>
    public static void WriteHeader(string name, StringValues values, WireBuffer buffer)
    {
        foreach (string? value in values)
        {
            if (value is null || !HeaderText.IsName(name) || !HeaderText.IsValue(value))
            {
                continue;
            }

            buffer.Write(name);
            buffer.Write(": "u8);
            buffer.Write(value);
            buffer.Write("\r\n"u8);
        }
    }

    private static void Separate(bool any, WireBuffer buffer)
    {
        if (any)
        {
            buffer.Write(", "u8);
        }
    }

    private static bool Same(string a, string b) => a.Equals(b, StringComparison.OrdinalIgnoreCase);
}
