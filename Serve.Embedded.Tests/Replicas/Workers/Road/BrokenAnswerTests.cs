namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>What a worker may say wrong: each is a 502 that says so, its connection is never used again, and the next request is answered rightly.</summary>
public sealed class BrokenAnswerTests
{
    public static TheoryData<string, string, string> Answers => new()
    {
        { "nothing", "", "closed the connection before it answered" },
        { "half a head", "HTTP/1.1 200 OK\r\nContent-Le", "in the middle of its status line and headers" },
        { "no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", "does not begin with a status line" },
        { "HTTP/2", "HTTP/2 200 OK\r\n\r\n", "does not begin with a status line" },
        { "lower case", "http/1.1 200 OK\r\n\r\n", "does not begin with a status line" },
        { "version 1.2", "HTTP/1.2 200 OK\r\n\r\n", "does not begin with a status line" },
        { "no status", "HTTP/1.1 OK\r\n\r\n", "does not begin with a status line" },
        { "status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "does not begin with a status line" },
        { "status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "does not begin with a status line" },
        { "status below 100", "HTTP/1.1 099 OK\r\n\r\n", "does not begin with a status line" },
        { "negative status", "HTTP/1.1 -20 OK\r\n\r\n", "does not begin with a status line" },
        { "two spaces", "HTTP/1.1  200 OK\r\n\r\n", "does not begin with a status line" },
        { "NUL in the reason", "HTTP/1.1 200 O\0K\r\n\r\n", "does not begin with a status line" },
        { "empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "does not begin with a status line" },
        { "bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare line feed" },
        { "one bare line feed", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n", "bare line feed" },
        { "bare carriage return", "HTTP/1.1 200 OK\r\nA: b\rC: d\r\nContent-Length: 0\r\n\r\n", "bare carriage return" },
        { "folding", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "folded" },
        { "folding by tab", "HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\nContent-Length: 0\r\n\r\n", "folded" },
        { "no colon", "HTTP/1.1 200 OK\r\nabc\r\nContent-Length: 0\r\n\r\n", "no valid name" },
        { "no name", "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n", "no valid name" },
        { "space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "no valid name" },
        { "NUL in a name", "HTTP/1.1 200 OK\r\nA\0: b\r\nContent-Length: 0\r\n\r\n", "no valid name" },
        { "NUL in a value", "HTTP/1.1 200 OK\r\nA: b\0\r\nContent-Length: 0\r\n\r\n", "control character" },
        { "too many headers", $"HTTP/1.1 200 OK\r\n{string.Concat(Enumerable.Range(0, 201).Select(i => $"A{i}: b\r\n"))}\r\n", "more than 200 headers" },
        { "a large header", $"HTTP/1.1 200 OK\r\nA: {new string('b', 65_536)}\r\n\r\n", "larger than 65536 bytes" },
        { "a header without end", $"HTTP/1.1 200 OK\r\nA: {new string('b', 100_000)}", "larger than 65536 bytes" },
        { "both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "both Transfer-Encoding and Content-Length" },
        { "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "two different Content-Lengths" },
        { "a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na", "not a number of bytes" },
        { "negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not a number of bytes" },
        { "signed length", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", "not a number of bytes" },
        { "no length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "not a number of bytes" },
        { "hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\na", "not a number of bytes" },
        { "endless length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\na", "not a number of bytes" },
        { "other encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not \"chunked\" alone" },
        { "chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not \"chunked\" alone" },
        { "chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not \"chunked\" alone" },
        { "unasked upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "nobody asked for" },
        { "interim for ever", string.Concat(Enumerable.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20)), "interim responses" },
        { "a chunk without size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "no size" },
        { "a chunk's size is no number", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "no size" },
        { "a negative chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "no size" },
        { "a chunk's size with 0x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", "not a hexadecimal number" },
        { "a chunk without end of size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n", "not a hexadecimal number" },
        { "an endless chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", "too large" },
    };

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task Send_BrokenAnswer_Is502AndTheNextRequestIsRight(string name, string answer, string says)
    {
        _ = name;
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            if (side.Index == 0)
            {
                await side.SendAsync(answer);
                return;
            }

            await side.AnswerAsync("right");
        });
        await using RoadHost host = await RoadHost.StartAsync(worker.EndPoint);

        string first = await host.AskAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        string next = await host.GetAsync();

        Assert.StartsWith("HTTP/1.1 502 ", first);
        Assert.Contains(says, first);
        Assert.EndsWith("\r\n\r\nright", next);

        // Where there was no answer at all, the worker is asked in between whether it still takes connections.
        Assert.Equal(answer.Length == 0 ? 3 : 2, worker.ConnectionCount);
    }
}
