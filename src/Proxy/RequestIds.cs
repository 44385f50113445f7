using System.Buffers;
using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Proxy;

/// <summary>The id under which a request is logged and answered: the client's own if it sent a usable one, else a random UUID (version 4).</summary>
internal static class RequestIds
{
    public const string Header = "X-Request-ID";

    private const int LongestAccepted = 256;
    private const int UuidLength = 36;

    /// <summary>What can be sent back in a header as it came.</summary>
    private static readonly SearchValues<char> Printable = SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(c => (char)c)]);

    public static string For(StringValues sent, Random random)
    {
        if (sent.Count == 1 && sent[0] is { Length: > 0 and <= LongestAccepted } id && !id.AsSpan().ContainsAnyExcept(Printable))
        {
            return id;
        }

        return New(random);
    }

    /// <summary>A random UUID. Written digit by digit: under AOT, <see cref="Guid"/>'s own text was the costliest single step of a small request.</summary>
    public static string New(Random random)
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        bytes[6] = (byte)((bytes[6] & 0x0F) | 0x40);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);

        const string Digits = "0123456789abcdef";
        Span<char> text = stackalloc char[UuidLength];
        int at = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            if (i is 4 or 6 or 8 or 10)
            {
                text[at++] = '-';
            }

            text[at++] = Digits[bytes[i] >> 4];
            text[at++] = Digits[bytes[i] & 0x0F];
        }

        return new(text);
    }
}
