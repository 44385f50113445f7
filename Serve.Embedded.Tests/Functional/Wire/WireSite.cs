namespace Serve.Embedded.Tests.Functional.Wire;

/// <summary>One server with a worker that records, for many requests.</summary>
public sealed class WireSite : IAsyncLifetime
{
    internal RecordingWorker Worker { get; } = new();

    internal TestServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await WorkerInTest.StartAsync(Worker.Worker);

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        await Worker.DisposeAsync();
    }

    /// <summary>Asks over a connection of its own, and returns the mark that is answered.</summary>
    internal async Task<string> AskNextDoorAsync(string mark)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/neighbour");
        request.Headers.Add("X-Mark", mark);
        using HttpResponseMessage response = await Server.Client.SendAsync(request, TestServer.Deadline);
        string body = await response.Content.ReadAsStringAsync(TestServer.Deadline);
        Assert.Equal(body, response.Headers.GetValues("X-Mark").Single());
        return body;
    }
}
