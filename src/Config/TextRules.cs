using System.Net;
using System.Net.Sockets;

namespace Serve.Embedded.Config;

/// <summary>What is wrong with a name, a host, a route prefix or an import path; <see langword="null"/> = nothing.</summary>
internal static class TextRules
{
    private const int MaxName = 128;
    private const int MaxHost = 253;
    private const int MaxRoutePrefix = 512;
    private const int MaxImportPath = 256;
    private const int MaxPath = 4096;
    private const int MaxArgument = 64 * 1024;

    /// <summary>Names stand in URLs of the admin port, in metrics and in <c>app#deployment</c>, so they need no escaping anywhere.</summary>
    public static string? Name(string name) => name switch
    {
        "" => "it is empty",
        { Length: > MaxName } => $"it is longer than {MaxName} characters",
        ['.' or '-', ..] => $"it begins with '{name[0]}'",
        _ => Foreign(name, c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.'),
    };

    public static string? Host(string host)
    {
        if (host is "" or { Length: > MaxHost })
        {
            return host.Length == 0 ? "it is empty" : $"it is longer than {MaxHost} characters";
        }

        if (host is "*" or "+")
        {
            return "write 0.0.0.0 or :: for all addresses";
        }

        if (host[0] == '[')
        {
            return "write an IPv6 address without brackets";
        }

        if (host.Contains(':'))
        {
            return IPAddress.TryParse(host, out IPAddress? address) && address.AddressFamily == AddressFamily.InterNetworkV6
                ? null
                : "it is no IPv6 address, and a port has a key of its own";
        }

        // The parser also takes 1 and 127.1, which nobody writes on purpose.
        if (host.All(c => char.IsAsciiDigit(c) || c == '.'))
        {
            return host.Count(c => c == '.') == 3 && IPAddress.TryParse(host, out _) ? null : "it is no IPv4 address";
        }

        return host.Split('.').Any(label => label is "" or { Length: > 63 } || label[0] == '-' || label[^1] == '-')
            ? "it is no host name"
            : Foreign(host, c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.');
    }

    public static string? RoutePrefix(string prefix)
    {
        if (prefix.Length > MaxRoutePrefix)
        {
            return $"it is longer than {MaxRoutePrefix} characters";
        }

        if (!prefix.StartsWith('/'))
        {
            return "it does not begin with '/'";
        }

        if (prefix.Length > 1 && prefix.EndsWith('/'))
        {
            return "it ends with '/'";
        }

        if (prefix == "/-" || prefix.StartsWith("/-/", StringComparison.Ordinal))
        {
            return "/-/ is where the server itself answers";
        }

        if (prefix.Length > 1 && prefix[1..].Split('/').Any(segment => segment is "" or "." or ".."))
        {
            return "it has an empty segment, '.' or '..', which no request's path has";
        }

        return Foreign(prefix, c => !char.IsControl(c) && !char.IsWhiteSpace(c) && !"{}?#%\\".Contains(c));
    }

    public static string? ImportPath(string path)
    {
        if (path.Length > MaxImportPath)
        {
            return $"it is longer than {MaxImportPath} characters";
        }

        int colon = path.IndexOf(':');
        if (colon != path.LastIndexOf(':'))
        {
            return "it has more than one colon";
        }

        return colon < 0 ? (path.Contains('.', StringComparison.Ordinal) ? "it has no colon (a class of Python is python:FILE.CLASS)" : "it has no colon")
            : colon == 0 || colon == path.Length - 1 ? "one side of the colon is empty"
            : Foreign(path, c => !char.IsControl(c) && !char.IsWhiteSpace(c));
    }

    public static string? Path(string path) => path switch
    {
        "" => "it is empty",
        { Length: > MaxPath } => $"it is longer than {MaxPath} characters",
        _ => Foreign(path, c => !char.IsControl(c)),
    };

    /// <summary>Of a command. An empty one is an argument too.</summary>
    public static string? Argument(string argument) => argument switch
    {
        { Length: > MaxArgument } => $"it is longer than {MaxArgument} characters",
        _ => argument.Contains('\0') ? "it has a NUL, which no argument can hold" : null,
    };

    /// <summary>The path, and query, of a request to a worker.</summary>
    public static string? RequestPath(string path) => path switch
    {
        { Length: > MaxPath } => $"it is longer than {MaxPath} characters",
        ['/', ..] => Foreign(path, c => c is > ' ' and < (char)127 and not '#'),
        _ => "it does not begin with '/'",
    };

    /// <summary>The name of a variable of the environment.</summary>
    public static string? Variable(string name) => name switch
    {
        "" => "it is empty",
        { Length: > MaxName } => $"it is longer than {MaxName} characters",
        _ => Foreign(name, c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '-'),
    };

    private static string? Foreign(string text, Func<char, bool> allowed)
    {
        foreach (char c in text)
        {
            if (!allowed(c))
            {
                return char.IsControl(c) ? $"it has the control character U+{(int)c:X4}" : $"it has the character '{c}'";
            }
        }

        return null;
    }
}
