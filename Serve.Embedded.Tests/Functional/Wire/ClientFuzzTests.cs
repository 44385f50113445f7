using System.Net.Sockets;
using System.Text;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>The corpus, taken apart and put together by chance: whatever comes of it, the worker sees well-formed requests alone, as many as are answered, and it makes no difference on which road the connection is.</summary>
public sealed class ClientFuzzTests
{
    private const int Rounds = 2_000;
    private const int AtOnce = 8;

    /// <summary>A request without end is ended by what follows it, since no body may be longer.</summary>
    private const int LargestBody = 10_000;

    private static readonly string End = string.Concat(Enumerable.Repeat("\r\nGET /end HTTP/1.1\r\nHost: a\r\nX-Mark: end\r\nConnection: close\r\n\r\n", LargestBody / 50));

    /// <summary>To the preface of HTTP/2.</summary>
    private const string PrefaceAnswer = "\0\0\b\a";

    /// <summary>After it the whole of a connection is on the long road.</summary>
    private const string First = $"GET /first HTTP/1.1\r\nHost: a\r\nX-Mark: first\r\n{Road.Long}\r\n";

    private static readonly ClientCase[] Good = [.. ClientCase.All.Where(c => c.Reaches > 0)];

    private static readonly string[] Pieces =
    [
        "\r\n", "\n", "\r", " ", "\t", "\0", ":", ",", ";", "0", "5", "\r\n\r\n", "\n\n", "0\r\n\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "chunked", "HTTP/1.1", "HTTP/1.0",
        "Connection: close\r\n", "Connection: keep-alive\r\n", "Connection: content-length\r\n", "Expect: 100-continue\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.1\r\nHost: a\r\n", "Host: b\r\n", "\u00ff", "\v", "%", "?", "#", "/../", "//",
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Send_Mutations_ReachTheWorkerAsWellFormedRequestsOrNotAtAll(int seed)
    {
        await using RecordingWorker worker = new();
        await using TestServer server = await WorkerInTest.StartAsync(worker.Worker, new() { MaxRequestBodyBytes = LargestBody });
        Random random = new(seed);
        int answered = 0;
        int reached = 0;
        for (int round = 0; round < Rounds / 2; round += AtOnce)
        {
            string[] requests = [.. Enumerable.Range(round, AtOnce).Select(i => Mutation(random, $"m{i:d5}"))];
            (string Text, List<ReceivedResponse> Responses)[] onPlain = await SendAsync(server, requests, before: "");
            string[] gotOnPlain = Got(worker);
            (string Text, List<ReceivedResponse> Responses)[] onLong = await SendAsync(server, requests, First);
            string[] gotOnLong = Got(worker);

            string all = string.Join("\n---\n", requests.Select(Show));
            Assert.Empty(worker.Malformed);
            Comparable.Same(string.Join('\n', gotOnLong), string.Join('\n', gotOnPlain), all);
            for (int i = 0; i < AtOnce; i++)
            {
                (string text, List<ReceivedResponse> responses) = onPlain[i];
                Assert.True(responses.All(r => r.Status < 500 || r.Status is 501 or 505), $"{Show(requests[i])}\n{text}");
                Assert.True(responses.All(r => r.Mark is null or "unmarked" or "end" || requests[i].Contains(r.Mark, StringComparison.Ordinal)), $"{Show(requests[i])}\n{text}");
                answered += responses.Count(r => r.Mark is not null);
                if (responses.Count > 0)
                {
                    Assert.Equal("first", onLong[i].Responses[0].Mark);
                    Comparable.Same(string.Join('\n', onLong[i].Responses.Skip(1).Select(Comparable.Of)), string.Join('\n', responses.Select(Comparable.Of)), Show(requests[i]));
                }
            }

            reached += gotOnPlain.Length;
        }

        Assert.Equal(reached, answered);
        Assert.InRange(answered, Rounds / 10, Rounds * 4);
    }

    /// <summary>What the worker got since it was last asked.</summary>
    private static string[] Got(RecordingWorker worker)
    {
        string[] got = [.. worker.Requests.Where(r => r.Mark != "first").Select(Comparable.Of).Order(StringComparer.Ordinal)];
        worker.Forget();
        return got;
    }

    private static async Task<(string Text, List<ReceivedResponse> Responses)[]> SendAsync(TestServer server, string[] requests, string before)
    {
        string[] texts = await Task.WhenAll(requests.Select(r => SendAsync(server, before + r)));
        return [.. texts.Select(t => (t, t.StartsWith(PrefaceAnswer, StringComparison.Ordinal) ? [] : ReceivedResponse.All(t)))];
    }

    /// <summary>All that comes back.</summary>
    private static async Task<string> SendAsync(TestServer server, string request)
    {
        using RawConnection client = await server.ConnectAsync(Encoding.Latin1);
        Task sending = client.SendAsync(request + End);
        string responses = await client.ReadToEndAsync();
        try
        {
            await sending;
        }
        catch (SocketException)
        {
            // It closed before it had read all.
        }

        return responses;
    }

    private static string Mutation(Random random, string mark)
    {
        StringBuilder text = new();
        for (int parts = random.Next(1, 3); parts > 0; parts--)
        {
            // What is refused as it is teaches less than what nearly is.
            IReadOnlyList<ClientCase> from = random.Next(4) == 0 ? ClientCase.All : Good;
            text.Append(from[random.Next(from.Count)].Bytes.Replace("X-Mark: case", $"X-Mark: {mark}", StringComparison.Ordinal));
        }

        for (int changes = random.Next(1, 3); changes > 0 && text.Length > 0; changes--)
        {
            int at = random.Next(text.Length);
            switch (random.Next(8))
            {
                case 0:
                    text.Remove(at, random.Next(1, Math.Min(20, text.Length - at) + 1));
                    break;
                case 1:
                    text[at] = (char)random.Next(256);
                    break;
                case 2:
                    text.Length = at;
                    break;
                case 3:
                    string copy = text.ToString(at, Math.Min(random.Next(1, 60), text.Length - at));
                    text.Insert(random.Next(text.Length), copy);
                    break;
                default:
                    text.Insert(at, Pieces[random.Next(Pieces.Length)]);
                    break;
            }
        }

        return text.ToString();
    }

    private static string Show(string bytes) => bytes.Length > 2_000 ? bytes[..2_000] : bytes;
}
