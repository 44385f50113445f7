using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>A client's offer to hand its connection over, as a WebSocket's is. A worker is asked over HTTP/1.1 in any case; for a client of HTTP/2, which has no such handshake (RFC 8441), it is made here.</summary>
internal sealed class UpgradeOffer
{
    private const string WebSocket = "websocket";

    private readonly IHttpUpgradeFeature? _upgrade;
    private readonly IHttpExtendedConnectFeature? _connect;

    private UpgradeOffer(IHttpUpgradeFeature upgrade, StringValues protocols)
    {
        _upgrade = upgrade;
        Protocols = protocols;
    }

    private UpgradeOffer(IHttpExtendedConnectFeature connect)
    {
        _connect = connect;
        Protocols = WebSocket;
        Key = Convert.ToBase64String(Guid.NewGuid().ToByteArray());
    }

    /// <summary>To what.</summary>
    public StringValues Protocols { get; }

    /// <summary>Of the handshake that is made here; <see langword="null"/> = the client makes its own.</summary>
    public string? Key { get; }

    /// <summary>The request's, if it has one.</summary>
    public static UpgradeOffer? Of(IFeatureCollection features, IHeaderDictionary headers) =>
        Connect(features) is { } connect ? new(connect)
        : Upgrade(features, headers) is { } upgrade ? new(upgrade, headers.Upgrade)
        : null;

    /// <summary>A CONNECT that is the beginning of a WebSocket over HTTP/2, and nothing else.</summary>
    public static bool IsExtendedConnect(IFeatureCollection features) => Connect(features) is not null;

    /// <summary>Whether the request has one.</summary>
    public static bool IsIn(IFeatureCollection features, IHeaderDictionary headers) => Upgrade(features, headers) is not null || Connect(features) is not null;

    /// <summary>A worker's answer to the handshake that was made here is to be one.</summary>
    /// <exception cref="BadAnswerException">It is not, and the client would take it for a WebSocket.</exception>
    public void ThrowIfNotAnswered(ResponseReader reader)
    {
        if (Key is null)
        {
            return;
        }

        if (reader.Head.StatusCode is >= 200 and < 300)
        {
            throw new BadAnswerException($"it is {reader.Head.StatusCode}, and a WebSocket's handshake is answered with 101 Switching Protocols or refused with an error");
        }

        if (reader.Head.StatusCode == StatusCodes.Status101SwitchingProtocols && !Accepts(reader))
        {
            throw new BadAnswerException("it is 101 Switching Protocols, but not with the Sec-WebSocket-Accept that belongs to the handshake's key");
        }
    }

    /// <summary>The worker takes it: hands the connection over.</summary>
    /// <param name="response">Holds the worker's answer.</param>
    public async ValueTask<Stream> AcceptAsync(IHttpResponseFeature response)
    {
        if (_connect is null)
        {
            return await _upgrade!.UpgradeAsync();
        }

        response.StatusCode = StatusCodes.Status200OK;
        response.ReasonPhrase = null;
        response.Headers.Upgrade = default;
        response.Headers.SecWebSocketAccept = default;
        return await _connect.AcceptAsync();
    }

    /// <summary>Never to HTTP/2, through which requests would pass that nobody here has seen.</summary>
    private static IHttpUpgradeFeature? Upgrade(IFeatureCollection features, IHeaderDictionary headers) =>
        headers.Upgrade.Count > 0 &&
        !HopByHop.IsNamed(headers.Upgrade, "h2c") &&
        features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true } upgrade
            ? upgrade
            : null;

    private static IHttpExtendedConnectFeature? Connect(IFeatureCollection features) =>
        features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true, Protocol: WebSocket } connect ? connect : null;

    private bool Accepts(ResponseReader reader)
    {
        ReadOnlySpan<byte> bytes = reader.HeadBytes.Span;
#pragma warning disable CA5350 // RFC 6455 asks for it, and it protects nothing. (Only a host speaks HTTP/2, and its own WebSockets need it, and OpenSSL, too.)
        string expected = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(Key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
#pragma warning restore CA5350
        foreach (HeaderPlace place in reader.Head.Headers)
        {
            if (Ascii.EqualsIgnoreCase(place.Name(bytes), "Sec-WebSocket-Accept"u8))
            {
                return Ascii.Equals(place.Value(bytes), expected);
            }
        }

        return false;
    }
}
