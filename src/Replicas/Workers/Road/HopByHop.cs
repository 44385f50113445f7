using System.Text;
using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Headers that belong to one connection and go no further, in either direction (RFC 9110, 7.6.1).</summary>
internal static class HopByHop
{
    private const int LongestName = 17;

    /// <summary>Whether a header belongs to its connection by its name alone.</summary>
    public static bool Is(ReadOnlySpan<byte> name) => name.Length switch
    {
        2 => Ascii.EqualsIgnoreCase(name, "TE"u8),
        5 => Ascii.EqualsIgnoreCase(name, "Proxy"u8),
        7 => Ascii.EqualsIgnoreCase(name, "Upgrade"u8) || Ascii.EqualsIgnoreCase(name, "Trailer"u8),
        10 => Ascii.EqualsIgnoreCase(name, "Connection"u8) || Ascii.EqualsIgnoreCase(name, "Keep-Alive"u8),
        14 => Ascii.EqualsIgnoreCase(name, "HTTP2-Settings"u8),
        LongestName => Ascii.EqualsIgnoreCase(name, "Transfer-Encoding"u8),
        _ => false,
    } || (name.Length > 6 && name[0] is (byte)'P' or (byte)'p' && Ascii.EqualsIgnoreCase(name[..6], "Proxy-"u8));

    /// <inheritdoc cref="Is(ReadOnlySpan{byte})"/>
    public static bool Is(string name)
    {
        // One byte more than the longest, so that what is longer stays so.
        Span<byte> bytes = stackalloc byte[LongestName + 1];
        return Is(bytes[..Encoding.ASCII.GetBytes(name.AsSpan(0, Math.Min(name.Length, bytes.Length)), bytes)]);
    }

    /// <summary>Whether a Connection header names this one.</summary>
    public static bool IsNamed(StringValues connection, string name)
    {
        foreach (string? value in connection)
        {
            foreach (Range part in value.AsSpan().Split(','))
            {
                if (value.AsSpan(part).Trim(" \t").Equals(name, StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Whether a Connection header names anything but the two usual words, so that its names must be looked up.</summary>
    public static bool NamesOthers(StringValues connection) => connection.Count switch
    {
        0 => false,
        1 => !Same(connection[0]!, "keep-alive") && !Same(connection[0]!, "close"),
        _ => true,
    };

    private static bool Same(string a, string b) => a.Equals(b, StringComparison.OrdinalIgnoreCase);
}
