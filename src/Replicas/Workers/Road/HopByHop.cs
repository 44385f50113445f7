using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Headers that belong to one connection and go no further, in either direction (RFC 9110, 7.6.1).</summary>
internal static class HopByHop
{
    /// <summary>Whether a header belongs to its connection by its name alone.</summary>
    public static bool Is(string name) => name.Length switch
    {
        2 => Same(name, "TE"),
        5 => Same(name, "Proxy"),
        7 => Same(name, "Upgrade") || Same(name, "Trailer"),
        10 => Same(name, "Connection") || Same(name, "Keep-Alive"),
        14 => Same(name, "HTTP2-Settings"),
        17 => Same(name, "Transfer-Encoding"),
        _ => false,
    } || name.StartsWith("Proxy-", StringComparison.OrdinalIgnoreCase);

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
