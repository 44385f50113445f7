using System.Buffers;
using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Proxy;

/// <summary>The id under which a request is logged and answered: the client's own if it sent a usable one, else a random UUID (version 4).</summary>
internal static class RequestIds
{
    public const string Header = "X-Request-ID";

    private const int LongestAccepted = 256;

    /// <summary>What can be sent back in a header as it came.</summary>
    private static readonly SearchValues<char> Printable = SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(c => (char)c)]);

    public static string For(StringValues sent, Random random)
    {
        if (sent.Count == 1 && sent[0] is { Length: > 0 and <= LongestAccepted } id && !id.AsSpan().ContainsAnyExcept(Printable))
        {
            return id;
        }

        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        bytes[7] = (byte)((bytes[7] & 0x0F) | 0x40);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);
        return new Guid(bytes).ToString();
    }
}
