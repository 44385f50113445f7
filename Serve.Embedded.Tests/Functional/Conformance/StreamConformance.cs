using System.Net;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Functional.Conformance;

/// <summary>Bodies that come in pieces, and connections that are not HTTP any more.</summary>
public abstract class StreamConformance(SiteForm form) : ConformanceSuite(form)
{
    [Fact]
    [ContractRow(44)]
    public async Task Stream_Chunk_IsSeenBeforeTheHandlerEnds()
    {
        await using ConformanceSite site = await StartAsync(App("stream"));
        using HttpResponseMessage response = await site.Client.GetAsync("/hold/x", HttpCompletionOption.ResponseHeadersRead, Deadline);
        using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));

        Assert.Equal("one", await body.ReadLineAsync(Deadline));
        await site.ReleaseAsync("x");
        Assert.Equal("two", await body.ReadLineAsync(Deadline));
        Assert.Null(await body.ReadLineAsync(Deadline));
    }

    [Fact]
    [ContractRow(44)]
    public async Task Stream_HandlerThrowsMidway_BreaksTheBodyOff()
    {
        await using ConformanceSite site = await StartAsync(App("stream"));
        using HttpResponseMessage response = await site.Client.GetAsync("/throw/x", HttpCompletionOption.ResponseHeadersRead, Deadline);
        using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));
        Assert.Equal("one", await body.ReadLineAsync(Deadline));

        await site.ReleaseAsync("x");

        await Assert.ThrowsAnyAsync<IOException>(async () => await body.ReadToEndAsync(Deadline));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    [Fact]
    [ContractRow(44)]
    public async Task Stream_ClientLeaves_EndsTheHandler()
    {
        await using ConformanceSite site = await StartAsync(App("stream"));
        using (HttpResponseMessage response = await site.Client.GetAsync("/hold/x", HttpCompletionOption.ResponseHeadersRead, Deadline))
        {
            using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));
            await body.ReadLineAsync(Deadline);
        }

        await site.HeardAsync("cancelled x");
        await site.OngoingAsync(0, "Stream");
    }

    [Fact]
    [ContractRow(47)]
    public async Task Websocket_ServerCloses_TheClientSeesIt()
    {
        await using ConformanceSite site = await StartAsync(App("socket"));
        using RawConnection connection = await OpenAsync(site);

        await connection.SendAsync("ping");
        Assert.Equal("ping", await connection.ReadUntilAsync("ping"));
        await connection.SendAsync("bye");

        Assert.Equal("bye", await connection.ReadToEndAsync());
        await site.OngoingAsync(0, "Socket");
    }

    [Fact]
    [ContractRow(47)]
    public async Task Websocket_ClientCloses_TheHandlerSeesIt()
    {
        await using ConformanceSite site = await StartAsync(App("socket"));
        RawConnection connection = await OpenAsync(site);
        await connection.SendAsync("ping");
        await connection.ReadUntilAsync("ping");

        connection.Dispose();

        await site.OngoingAsync(0, "Socket");
    }

    private static async Task<RawConnection> OpenAsync(ConformanceSite site)
    {
        RawConnection connection = await site.ConnectAsync();
        await connection.SendAsync("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 101 ", await connection.ReadUntilAsync("\r\n\r\n"), StringComparison.Ordinal);
        return connection;
    }
}

public sealed class PortStreamConformance() : StreamConformance(SiteForm.Port);

public sealed class EmbeddedStreamConformance() : StreamConformance(SiteForm.Embedded);
