using System.Buffers;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What a worker is asked for: the path and query as the client sent them, without the application's route prefix.</summary>
internal static class RequestTarget
{
    /// <summary>What may stand in a request line: visible ASCII.</summary>
    private static readonly SearchValues<char> Allowed = SearchValues.Create([.. Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c)]);

    public static void Write(IHttpRequestFeature request, WireBuffer buffer)
    {
        string raw = request.RawTarget;
        string prefix = request.PathBase;
        if (IsPlain(raw) && (prefix.Length == 0 || raw.StartsWith(prefix, StringComparison.Ordinal)))
        {
            ReadOnlySpan<char> rest = raw.AsSpan(prefix.Length);
            if (rest.IsEmpty || rest[0] == '?')
            {
                buffer.Write("/"u8);
                buffer.Write(rest);
                return;
            }

            if (rest[0] == '/')
            {
                buffer.Write(rest);
                return;
            }
        }

        WriteRebuilt(request, buffer);
    }

    /// <summary>Whether the raw path is the one that was routed: no dot segments, which the server has resolved, no host, no characters that must be escaped.</summary>
    private static bool IsPlain(string raw)
    {
        if (raw.Length == 0 || raw[0] != '/' || raw.AsSpan().ContainsAnyExcept(Allowed))
        {
            return false;
        }

        int query = raw.IndexOf('?', StringComparison.Ordinal);
        ReadOnlySpan<char> path = query < 0 ? raw : raw.AsSpan(0, query);
        return !path.Contains("/.", StringComparison.Ordinal) && !path.Contains("%2e", StringComparison.OrdinalIgnoreCase);
    }

    private static void WriteRebuilt(IHttpRequestFeature request, WireBuffer buffer)
    {
        if (request.RawTarget == "*")
        {
            buffer.Write("*"u8);
            return;
        }

        string path = new PathString(request.Path.Length == 0 ? "/" : request.Path).ToUriComponent();
        buffer.Write(path);
        foreach (char c in request.QueryString)
        {
            if (Allowed.Contains(c))
            {
                buffer.Write(new ReadOnlySpan<char>(in c));
            }
            else
            {
                buffer.Write(Uri.EscapeDataString(c.ToString()));
            }
        }
    }
}
