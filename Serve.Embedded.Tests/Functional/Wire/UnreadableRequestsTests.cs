using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>Requests that nobody can read, and that Kestrel answers by itself: what the log has of them.</summary>
public sealed class UnreadableRequestsTests
{
    [Theory]
    [InlineData("GET / HTTP/1.1\r\n\r\n", 400, "Request is missing Host header")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nA:\0\r\n\r\n", 400, "Malformed request: invalid headers")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "Invalid content length: -1")]
    [InlineData("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "Unrecognized HTTP version: 'HTTP/1.2'")]
    public async Task Request_CannotBeRead_IsLoggedWithItsClientAndTheReason(string request, int status, string reason)
    {
        await using TestServer server = await TestServer.StartAsync(new(), new());
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync(request);

        Assert.StartsWith($"HTTP/1.1 {status} ", await client.ReadToEndAsync(), StringComparison.Ordinal);
        string line = (await server.LogAsync(EventIds.RequestRefused)).Message;
        Assert.StartsWith("A request of 127.0.0.1:", line, StringComparison.Ordinal);
        Assert.EndsWith($" could not be read, and was refused with {status} unless it had its answer already: {reason}. Its connection closes.", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Request_TooLargeAHead_IsLoggedWithTheReason()
    {
        await using TestServer server = await TestServer.StartAsync(new(), new());
        using RawConnection client = await server.ConnectAsync();

        await client.SendAsync($"GET / HTTP/1.1\r\nHost: a\r\nCookie: {new string('c', 40_000)}\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 431 ", await client.ReadToEndAsync(), StringComparison.Ordinal);
        Assert.EndsWith(" refused with 431 unless it had its answer already: Request headers too long. Its connection closes.", (await server.LogAsync(EventIds.RequestRefused)).Message, StringComparison.Ordinal);
    }

    /// <summary>Kestrel reads the rest of a body after the answer, and would refuse the request if it could.</summary>
    [Fact]
    public async Task Request_HasItsAnswerAndTheRestOfItsBodyIsWrong_IsNotSaidToHaveBeenRefused()
    {
        await using TestServer server = await TestServer.StartAsync(new(), new());
        using RawConnection client = await server.ConnectAsync();
        await client.SendAsync("POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 404 ", await client.ReadUntilAsync("\r\n\r\n"), StringComparison.Ordinal);

        await client.SendAsync("zz\r\n");

        Assert.EndsWith(" refused with 400 unless it had its answer already: Bad chunk size data. Its connection closes.", (await server.LogAsync(EventIds.RequestRefused)).Message, StringComparison.Ordinal);
    }

    /// <summary>Whoever knocks with something else than HTTP, a scanner or a client that speaks TLS, does not fill the log.</summary>
    [Fact]
    public async Task Requests_ManyCannotBeRead_AreCountedAndNotAllLogged()
    {
        const int Requests = 50;
        ManualTimeProvider time = new();
        TestServer server = await TestServer.StartAsync(new(), new(), time);
        for (int i = 0; i < Requests; i++)
        {
            using RawConnection client = await server.ConnectAsync();
            await client.SendAsync("\x16\x03\x01\r\n\r\n");
            await client.ReadToEndAsync();
        }

        await server.DisposeAsync();

        Assert.Equal(10, server.LogsOf(EventIds.RequestRefused).Count());
        Assert.StartsWith("40 more refusals by ", Assert.Single(server.LogsOf(EventIds.RefusalsLeftOut)).Message, StringComparison.Ordinal);
    }
}
