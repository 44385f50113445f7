using System.Globalization;
using System.Text.RegularExpressions;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>A request as a worker got it, read as strictly as the standard allows: whatever two readers could understand differently is an error.</summary>
internal sealed partial record RecordedRequest(string Method, string Target, IReadOnlyList<KeyValuePair<string, string>> Headers, string Body)
{
    public string Mark => this["X-Mark"] ?? "unmarked";

    /// <summary>As one text.</summary>
    public string Text => $"{Method} {Target}\n{string.Concat(Headers.Select(h => $"{h.Key}: {h.Value}\n"))}\n{Body}";

    public string? this[string name] =>
        Headers.Where(h => h.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value).FirstOrDefault();

    /// <exception cref="FormatException">It is not well-formed.</exception>
    public static async Task<RecordedRequest> ReadAsync(WorkerSide side)
    {
        string head = await side.ReadHeadAsync();
        string[] lines = head[..^4].Split("\r\n");
        Match line = RequestLine().Match(lines[0]);
        Require(line.Success, $"no request line: {lines[0]}");
        List<KeyValuePair<string, string>> headers = [.. lines.Skip(1).Select(Header)];
        string?[] hosts = Values("Host");
        string?[] lengths = Values("Content-Length");
        string?[] encodings = Values("Transfer-Encoding");
        Require(hosts.Length == 1, $"{hosts.Length} Hosts");
        Require(lengths.Length + encodings.Length <= 1, "more than one length");
        Require(encodings is [] or ["chunked"], $"encoded {encodings.FirstOrDefault()}");
        Require(Values("Connection") is [] or ["Upgrade"] or ["TE"], "Connection");
        string body = "";
        if (encodings.Length > 0)
        {
            body = await ReadChunksAsync(side, headers);
        }
        else if (lengths is [{ } length])
        {
            Require(length.All(char.IsAsciiDigit), $"a length of {length}");
            body = await side.ReadExactlyAsync(int.Parse(length, CultureInfo.InvariantCulture));
        }

        Require(!side.HasMore, "something comes before it was answered");
        return new(line.Groups[1].Value, line.Groups[2].Value, headers, body);

        string[] Values(string name) => [.. headers.Where(h => h.Key.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(h => h.Value)];
    }

    private static async Task<string> ReadChunksAsync(WorkerSide side, List<KeyValuePair<string, string>> headers)
    {
        string body = "";
        while (true)
        {
            string size = await side.ReadThroughAsync("\r\n");
            Require(ChunkSize().IsMatch(size), $"a chunk of {size}");
            int count = int.Parse(size.AsSpan(0, size.Length - 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (count == 0)
            {
                break;
            }

            body += await side.ReadExactlyAsync(count);
            Require(await side.ReadExactlyAsync(2) == "\r\n", "a chunk's end");
        }

        string trailer;
        while ((trailer = await side.ReadThroughAsync("\r\n")) != "\r\n")
        {
            headers.Add(Header(trailer[..^2]));
        }

        return body;
    }

    private static KeyValuePair<string, string> Header(string line)
    {
        Match header = HeaderLine().Match(line);
        Require(header.Success, $"no header: {line}");
        return new(header.Groups[1].Value, header.Groups[2].Value);
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new FormatException($"The worker got {otherwise}");
        }
    }

    [GeneratedRegex(@"\A([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.1\z")]
    private static partial Regex RequestLine();

    [GeneratedRegex(@"\A([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)\z")]
    private static partial Regex HeaderLine();

    [GeneratedRegex(@"\A[0-9a-f]{1,8}\r\n\z")]
    private static partial Regex ChunkSize();
}
