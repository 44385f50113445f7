using System.Globalization;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What must be the same on both roads, as a text: without what differs from one request to the next, and without how a body is framed.</summary>
internal static class Comparable
{
    /// <summary>A request as its worker got it.</summary>
    public static string Of(RecordedRequest request) => $"{request.Method} {request.Target}\n" + Lines(request.Headers
        .Where(h => !h.Key.Equals("x-session-id", StringComparison.OrdinalIgnoreCase) && (h.Value == "theirs" || !h.Key.Equals("X-Request-ID", StringComparison.OrdinalIgnoreCase)))
        .Select(h => $"{h.Key.ToLowerInvariant()}: {h.Value}")) + request.Body;

    /// <summary>A response as its client got it, and what became of the connection.</summary>
    /// <param name="text">All that came on the connection.</param>
    /// <param name="isHead">The request's method is HEAD.</param>
    /// <param name="next">The body of the response to the request behind this one.</param>
    /// <param name="ownDate">The worker gave no date.</param>
    public static string Of(string text, bool isHead, string next, bool ownDate = true)
    {
        int end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        Assert.True(end > 0, $"no response: {text}");
        string[] lines = text[..end].Split("\r\n");
        string rest = text[(end + 4)..];
        string[] headers = [.. lines.Skip(1).Select(l => l[..l.IndexOf(':', StringComparison.Ordinal)].ToLowerInvariant() + l[l.IndexOf(':', StringComparison.Ordinal)..])];
        int status = int.Parse(lines[0].AsSpan(9, 3), CultureInfo.InvariantCulture);
        string body = "";
        if (!isHead && status is not 204 and not 304)
        {
            if (headers.Contains("transfer-encoding: chunked"))
            {
                int size;
                do
                {
                    int line = rest.IndexOf("\r\n", StringComparison.Ordinal);
                    size = int.Parse(rest[..line], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
                    body += rest.Substring(line + 2, size);
                    rest = rest[(line + 2 + size + 2)..];
                }
                while (size > 0);
            }
            else
            {
                int length = int.Parse(headers.Single(h => h.StartsWith("content-length: ", StringComparison.Ordinal)).AsSpan(16), CultureInfo.InvariantCulture);
                body = rest[..length];
                rest = rest[length..];
            }

            if (body.Length == 0)
            {
                // How an empty body of unknown length is framed depends on when its end comes.
                headers = [.. headers.Where(h => h is not "transfer-encoding: chunked" and not "content-length: 0")];
            }
        }

        IEnumerable<string> kept = headers
            .Select(h => ownDate && h.StartsWith("date: ", StringComparison.Ordinal) ? "date: now" : h)
            .Select(h => h.StartsWith("x-request-id: ", StringComparison.Ordinal) && h != "x-request-id: theirs" && h != "x-request-id: workers" ? "x-request-id: new" : h);
        string after = rest.Length == 0 ? "closed" : rest.StartsWith("HTTP/1.1 200 OK\r\n", StringComparison.Ordinal) && rest.EndsWith($"\r\n\r\n{next}", StringComparison.Ordinal) ? "next" : $"wrong: {rest}";
        return $"{lines[0]}\n{Lines(kept)}{body}\n{after}";
    }

    /// <summary>One of several responses.</summary>
    public static string Of(ReceivedResponse response)
    {
        string[] lines = response.Head.Split("\r\n");
        return $"{lines[0]}\n{Lines(lines.Skip(1)
            .Where(l => !l.StartsWith("Date: ", StringComparison.OrdinalIgnoreCase) && !l.StartsWith("X-Request-ID: ", StringComparison.OrdinalIgnoreCase))
            .Select(l => l[..l.IndexOf(':', StringComparison.Ordinal)].ToLowerInvariant() + l[l.IndexOf(':', StringComparison.Ordinal)..]))}{response.Body}";
    }

    public static void Same(string onLong, string onPlain, string what) => Assert.True(onLong == onPlain, $"{what}\n--- long road:\n{onLong}\n--- plain road:\n{onPlain}");

    private static string Lines(IEnumerable<string> lines) => string.Concat(lines.Order(StringComparer.Ordinal).Select(l => l + "\n"));
}
