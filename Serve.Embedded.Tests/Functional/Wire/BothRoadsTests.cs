using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Requests and answers made by chance, each sent on the plain road and on the long one: the worker gets the same, and so does the client.</summary>
public sealed class BothRoadsTests
{
    private const int Rounds = 400;

    private static readonly string[] Methods = ["GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

    private static readonly string[] Targets = ["", "/", "/a", "/a/b.c", "/a//b", "/?q", "/a?b=%20&c=/../", "/~a;b=c!$'()*+,=:@", "?only", "/a?", "/a?b?c", "/a\\b", "/a|b?c\"<>[]"];

    private static readonly string[] Hosts = ["a", "A.example", "127.0.0.1:8000", "a-b.c:1"];

    private static readonly string[] RequestHeaders =
    [
        "Connection: keep-alive", "Connection: close", "Keep-Alive: timeout=5", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 1.1.1.1, 2.2.2.2", "X-Forwarded-Host: evil", "X-Forwarded-Proto: https",
        "X-Forwarded-Prefix: /evil", "X-Request-ID: theirs", "x-request-timeout-seconds: 30", "x-request-timeout-seconds: nonsense", "Cookie: a=b", "cookie: c=d; e=f", "Accept: */*", "Accept: text/html,a/b;q=0.5",
        "Accept-Encoding: gzip", "User-Agent: x (y; z)", "X-Empty: ", "X-Tab: a\tb", "X-Two: 1", "x-two: 2", "Authorization: Basic YTpi", "Content-Type: application/json", "If-None-Match: \"a\"", "Range: bytes=0-1",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=b", "Origin: http://a", "Date: Mon, 23 Nov 2026 08:19:47 GMT", "Via: 1.1 x", "Max-Forwards: 3", "Server: x", "Pragma: no-cache",
    ];

    private static readonly string[] AnswerHeaders =
    [
        "Connection: keep-alive", "Connection: close", "Connection: X-Named", "connection: x-named , X-Two", "X-Named: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: a", "Proxy-Connection: keep-alive", "Upgrade: h2c", "TE: a",
        "Trailer: X-T", "Date: Mon, 23 Nov 2026 08:19:47 GMT", "X-Request-ID: workers", "Server: x", "Content-Type: text/plain", "content-type: a/b", "Set-Cookie: a=b", "Set-Cookie: c=d", "X-Two: 1", "x-two: 2", "X-Empty: ", "X-Empty:",
        "X-Latin: \u00e9", "X-Utf8: \u00c3\u00a9", "X-Tab: a\tb", "X-Bare:a", "X-Spaces:   a  ", "ETag: \"a\"", "Location: /a", "Retry-After: 3", "X-Request-Not-Run: ?1", "Via: 1.1 x", "Cache-Control: no-store", "Allow: GET", "Content-Encoding: x",
    ];

    private static readonly string[] Reasons = ["OK", "Fine indeed", "", "Pr\u00e9t", "not found", "(x)"];

    private static readonly int[] Statuses = [200, 200, 200, 201, 204, 205, 206, 299, 301, 304, 400, 404, 409, 418, 429, 500, 503, 599];

    [Theory]
    [InlineData(1, "/")]
    [InlineData(2, "/p")]
    [InlineData(3, "/p/q")]
    [InlineData(4, "/")]
    public async Task Send_AnyPlainRequest_IsTheSameOnBothRoads(int seed, string prefix)
    {
        ConcurrentQueue<RecordedRequest> got = new();
        Answer answer = new("", false);
        await using ScriptedWorker worker = new(async side =>
        {
            while (true)
            {
                RecordedRequest request = await RecordedRequest.ReadAsync(side);
                if (request["X-Case"] == "next")
                {
                    await side.AnswerAsync("next");
                    continue;
                }

                got.Enqueue(request);

                // Taken once: as soon as it is sent, the next one may be set.
                Answer given = answer;
                await side.SendAsync(given.Text);
                if (given.Closes)
                {
                    return;
                }
            }
        });
        await using TestServer server = await WorkerInTest.StartAsync(worker, prefix: prefix);
        Random random = new(seed);
        string path = prefix == "/" ? "" : prefix;
        for (int round = 0; round < Rounds; round++)
        {
            (string line, string rest) = RequestOf(random, path);
            answer = AnswerOf(random, line.StartsWith("HEAD", StringComparison.Ordinal));
            Assert.True(new PlainRequest().TryRead(Encoding.Latin1.GetBytes(line + rest), out _), line + rest);
            Assert.False(new PlainRequest().TryRead(Encoding.Latin1.GetBytes(line + Road.Long + rest), out _), line + rest);

            string plainResponse = await AskAsync(server, line + rest, path);
            string longResponse = await AskAsync(server, line + Road.Long + rest, path);

            string what = $"seed {seed}, round {round}\n{line}{rest}\n{answer.Text}";
            RecordedRequest[] both = [.. got];
            got.Clear();
            Assert.True(both.Length == 2, $"{what}\n--- the worker got {both.Length} requests; long road:\n{longResponse}\n--- plain road:\n{plainResponse}");
            Comparable.Same(Comparable.Of(both[1]), Comparable.Of(both[0]), what);
            bool isHead = line.StartsWith("HEAD", StringComparison.Ordinal);
            bool ownDate = !answer.Text.Contains("Date: ", StringComparison.Ordinal);
            Comparable.Same(Comparable.Of(longResponse, isHead, "next", ownDate), Comparable.Of(plainResponse, isHead, "next", ownDate), what);
        }
    }

    private static async Task<string> AskAsync(TestServer server, string request, string prefix)
    {
        using RawConnection client = await server.ConnectAsync(Encoding.Latin1);
        await client.SendAsync($"{request}GET {prefix}/next HTTP/1.1\r\nHost: a\r\nX-Case: next\r\nConnection: close\r\n\r\n");
        return await client.ReadToEndAsync();
    }

    private static (string Line, string Headers) RequestOf(Random random, string prefix)
    {
        string method = Pick(random, Methods);
        string target = prefix + Pick(random, Targets);
        target = target.StartsWith('/') ? target : "/" + target;
        List<string> headers = [$"Host: {Pick(random, Hosts)}", .. Some(random, RequestHeaders, 8)];
        // Once, or the request is none for the plain road.
        headers = [.. headers.DistinctBy(h => h.Split(':')[0] is "X-Forwarded-For" or "x-request-timeout-seconds" ? h.Split(':')[0] : h)];
        string body = "";
        if (random.Next(2) == 0)
        {
            int length = random.Next(4) switch { 0 => 0, 1 => random.Next(20), 2 => random.Next(5_000), _ => PlainRequest.LargestBody - random.Next(2) };
            body = new((char)('a' + random.Next(26)), length);
            headers.Add($"{(random.Next(2) == 0 ? "Content-Length" : "content-length")}: {length}");
        }

        string[] order = [.. headers];
        random.Shuffle(order);
        return ($"{method} {target} HTTP/1.1\r\n", string.Concat(order.Select(h => h + "\r\n")) + "\r\n" + body);
    }

    private static Answer AnswerOf(Random random, bool isHead)
    {
        StringBuilder text = new();
        for (int interim = random.Next(6) - 3; interim > 0; interim--)
        {
            text.Append(random.Next(2) == 0 ? "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" : "HTTP/1.1 100 Continue\r\n\r\n");
        }

        int status = Pick(random, Statuses);
        text.Append(CultureInfo.InvariantCulture, $"HTTP/1.1 {status} {Pick(random, Reasons)}\r\n");
        bool mayHaveBody = !isHead && status is not 204 and not 304;
        string body = status == 205 ? "" : new((char)('a' + random.Next(26)), random.Next(4) switch { 0 => 0, 1 => random.Next(20), 2 => random.Next(9_000), _ => random.Next(100_000) });
        List<string> headers = [.. Some(random, AnswerHeaders, 8)];
        headers = [.. headers.DistinctBy(h => h.Split(':')[0].ToLowerInvariant() is "date" or "content-type" or "etag" or "location" ? h.Split(':')[0].ToLowerInvariant() : h)];
        bool closes = headers.Contains("Connection: close");
        string sent = mayHaveBody ? body : "";
        switch (random.Next(3))
        {
            case 0:
                headers.Add($"Content-Length: {body.Length}");
                break;
            case 1:
                headers.Add("Transfer-Encoding: chunked");
                sent = mayHaveBody ? Chunks(random, body) : "";
                break;
            default:
                // Where no body can come, its end is known, and the connection is kept.
                closes |= mayHaveBody;
                break;
        }

        string[] order = [.. headers];
        random.Shuffle(order);
        text.Append(string.Concat(order.Select(h => h + "\r\n"))).Append("\r\n").Append(sent);
        return new(text.ToString(), closes);
    }

    private static string Chunks(Random random, string body)
    {
        StringBuilder text = new();
        while (body.Length > 0)
        {
            int size = random.Next(1, body.Length + 1);
            text.Append(CultureInfo.InvariantCulture, $"{size:x}\r\n{body[..size]}\r\n");
            body = body[size..];
        }

        return text.Append("0\r\n\r\n").ToString();
    }

    private static string[] Some(Random random, string[] from, int most) => [.. Enumerable.Range(0, random.Next(most)).Select(_ => Pick(random, from))];

    private static T Pick<T>(Random random, T[] from) => from[random.Next(from.Length)];

    private sealed record Answer(string Text, bool Closes);
}
