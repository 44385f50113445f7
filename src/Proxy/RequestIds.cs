using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
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

    /// <summary>
    /// A random UUID, written by vectors that every processor has: under AOT, <see cref="Guid"/>'s own text was the costliest single step of a small request, and <see cref="Convert"/>'s, whose vectors are emulated there,
    /// costs three times as much as one digit after the other.
    /// </summary>
    public static string New(Random random) => string.Create(UuidLength, random, static (text, random) =>
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        bytes[6] = (byte)((bytes[6] & 0x0F) | 0x40);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);

        (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(Vector128.Create<byte>(bytes));
        (Vector128<uint> first, Vector128<uint> second) = Vector128.Widen(low);
        (Vector128<uint> third, Vector128<uint> fourth) = Vector128.Widen(high);

        // Eight digits each. Where a group has four, the next one is written over the rest.
        Span<ushort> characters = MemoryMarshal.Cast<char, ushort>(text);
        Digits(first).CopyTo(characters);
        Digits(second).CopyTo(characters[9..]);
        Digits(second).GetUpper().CopyTo(characters[14..]);
        Digits(third).CopyTo(characters[19..]);
        Digits(third).GetUpper().CopyTo(characters[24..]);
        Digits(fourth).CopyTo(characters[28..]);
        text[8] = text[13] = text[18] = text[23] = '-';
    });

    /// <summary>The two hexadecimal digits of each of four bytes.</summary>
    private static Vector128<ushort> Digits(Vector128<uint> bytes)
    {
        Vector128<ushort> nibbles = ((bytes >>> 4) | ((bytes & Vector128.Create(0x0Fu)) << 16)).AsUInt16();
        Vector128<ushort> areLetters = Vector128.GreaterThan(nibbles.AsInt16(), Vector128.Create((short)9)).AsUInt16();
        return nibbles + Vector128.Create((ushort)'0') + (areLetters & Vector128.Create((ushort)('a' - '9' - 1)));
    }
}
