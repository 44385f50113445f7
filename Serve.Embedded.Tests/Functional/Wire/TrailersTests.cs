using System.Globalization;
using System.Text;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>What comes behind the last chunk, through a whole server.</summary>
public sealed class TrailersTests
{
    private const string Head = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";

    [Fact]
    public async Task Answer_WithTrailersToAClientThatTakesThem_PassesThemOn()
    {
        string response = await AskAsync("HTTP/1.1", "Connection: TE, close\r\nTE: trailers\r\n", Head + "3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-Sum: \u00e9 1\r\nContent-Length: 7\r\nConnection: x\r\n\r\n");

        Assert.Contains("\r\nTransfer-Encoding: chunked\r\n", response, StringComparison.Ordinal);
        Assert.Contains("\r\nTrailer: X-Sum\r\n", response, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: \u00e9 1\r\n\r\n", response, StringComparison.Ordinal);
        Assert.DoesNotContain("Content-Length", response, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Answer_WithoutTrailersToAClientThatTakesThem_EndsAsAnyOther() =>
        Assert.EndsWith("\r\n\r\n3\r\nabc\r\n0\r\n\r\n", await AskAsync("HTTP/1.1", "Connection: TE, close\r\nTE: trailers\r\n", Head + "3\r\nabc\r\n0\r\n\r\n"), StringComparison.Ordinal);

    [Fact]
    public async Task Answer_WithTrailersToAClientThatDoesNotTakeThem_LeavesThemOut()
    {
        string response = await AskAsync("HTTP/1.1", "Connection: close\r\n", Head + "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");

        Assert.EndsWith("\r\n\r\n3\r\nabc\r\n0\r\n\r\n", response, StringComparison.Ordinal);
        Assert.DoesNotContain("Trailer", response, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Answer_WithTrailersInHttp10_IsNotInChunks() =>
        Assert.EndsWith("\r\n\r\nabc", await AskAsync("HTTP/1.0", "TE: trailers\r\n", Head + "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), StringComparison.Ordinal);

    [Theory]
    [InlineData("3\r\nabc\r\n0\r\nX Sum: 1\r\n\r\n")]
    [InlineData("3\r\nabc\r\n0\r\nX-Sum\r\n\r\n")]
    [InlineData("3\r\nabc\r\n0\r\n folded: 1\r\n\r\n")]
    [InlineData("3\r\nabc\r\n2\r\nd")]
    public async Task Answer_WithBrokenTrailersOrNone_CutsTheClientOff(string body)
    {
        string response = await AskAsync("HTTP/1.1", "Connection: TE, close\r\nTE: trailers\r\n", Head + body);

        Assert.DoesNotContain("\r\n0\r\n", response, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Answer_LargeAndWithTrailers_ArrivesWhole()
    {
        Random random = new(3);
        string[] pieces = [.. Enumerable.Range(0, 500).Select(i => new string((char)('a' + (i % 26)), random.Next(1, 5_000)))];

        string response = await AskAsync("HTTP/1.1", "Connection: TE, close\r\nTE: trailers\r\n", Head + string.Concat(pieces.Select(p => $"{p.Length:x}\r\n{p}\r\n")) + "0\r\nX-Sum: 1\r\n\r\n");

        string rest = response[(response.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        StringBuilder body = new();
        while (int.Parse(rest[..rest.IndexOf("\r\n", StringComparison.Ordinal)], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture) is > 0 and int size)
        {
            int start = rest.IndexOf("\r\n", StringComparison.Ordinal) + 2;
            body.Append(rest, start, size);
            rest = rest[(start + size + 2)..];
        }

        Assert.Equal(string.Concat(pieces), body.ToString());
        Assert.Equal("0\r\nX-Sum: 1\r\n\r\n", rest);
    }

    [Fact]
    public async Task Request_WithTrailers_BringsThemToTheWorker()
    {
        await using RecordingWorker worker = new();
        await using TestServer server = await WorkerInTest.StartAsync(worker.Worker);
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
        await client.ReadToEndAsync();

        Assert.Contains("Transfer-Encoding: chunked\nTrailer: X-Sum\nX-Sum: 1\n\nabc", Assert.Single(worker.Requests).Text, StringComparison.Ordinal);
        Assert.Empty(worker.Malformed);
    }

    private static async Task<string> AskAsync(string version, string headers, string answer)
    {
        await using ScriptedWorker worker = new(async side =>
        {
            await side.ReadHeadAsync();
            await side.SendAsync(answer);
        });
        await using TestServer server = await WorkerInTest.StartAsync(worker);
        using RawConnection client = await server.ConnectAsync(Encoding.Latin1);
        await client.SendAsync($"GET / {version}\r\nHost: a\r\n{headers}\r\n");
        return await client.ReadToEndAsync();
    }
}
