namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>
/// The corpus, through a whole server to a worker: each request has the right answer, the worker gets nothing or one well-formed request, and whoever asks meanwhile
/// over another connection, or next over the same connection to the worker, is answered with its own mark.
/// </summary>
public sealed class ClientCorpusTests(WireSite site) : IClassFixture<WireSite>
{
    public static TheoryData<string> Names => [.. ClientCase.All.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Send_Case_IsAnsweredAsItShouldAndHarmsNobody(string name)
    {
        ClientCase sent = ClientCase.All.Single(c => c.Name == name);
        site.Worker.Forget();
        Task<string>[] neighbours = [site.AskNextDoorAsync("left"), site.AskNextDoorAsync("right")];

        using RawConnection client = await site.Server.ConnectAsync();
        await client.SendAsync(sent.Bytes + "GET /after HTTP/1.1\r\nHost: a\r\nX-Mark: after\r\nConnection: close\r\n\r\n");
        string text = await client.ReadToEndAsync();

        Assert.Equal(["left", "right"], await Task.WhenAll(neighbours));
        Assert.Equal("next", await site.AskNextDoorAsync("next"));

        List<ReceivedResponse> responses = sent.Statuses.Length == 0 ? [] : ReceivedResponse.All(text);
        Assert.Equal([.. sent.Statuses, .. sent.Keeps ? [200] : Array.Empty<int>()], responses.Select(r => r.Status));
        Assert.Empty(site.Worker.Malformed);
        RecordedRequest[] requests = [.. site.Worker.Requests.Where(r => r.Target != "/neighbour")];
        Assert.Equal([.. new[] { "case", "smuggled" }.Take(sent.Reaches), .. sent.Keeps ? ["after"] : Array.Empty<string>()], requests.Select(r => r.Mark));
        Assert.Equal(requests.Select(r => r.Mark), responses.Where(r => r.Status == 200).Select(r => r.Mark));
        Assert.Contains(sent.Gets, requests.FirstOrDefault()?.Text ?? "", StringComparison.Ordinal);
    }
}
