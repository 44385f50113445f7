using System.Net;
using Serve.Embedded;

namespace ClientExample;

/// <summary>Calls of three clients, and a line about what became of each.</summary>
internal sealed class Calls(IHttpClientFactory clients, TextWriter output)
{
    /// <summary>The client that has time.</summary>
    public const string Patient = "patient";

    /// <summary>The client that has not.</summary>
    public const string Hasty = "hasty";

    /// <summary>The client that has, and does not wait long for a single try.</summary>
    public const string Restless = "restless";

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        HttpClient patient = clients.CreateClient(Patient);

        // There is room for two, who take half a second each. Two more are refused at once and come back when the server says; they are POSTs, and the server says too that it has not run them.
        await Task.WhenAll(Enumerable.Range(1, 4).Select(i => SayAsync($"POST /model, number {i} of 4", patient, HttpMethod.Post, "/model", cancellationToken)));

        // The server is told how long the caller waits, and stops when the caller does. There is no time for a second try.
        await SayAsync("GET /model by one who has 0.3 s", clients.CreateClient(Hasty), HttpMethod.Get, "/model", cancellationToken);

        // A try that takes too long: a GET may be sent again, a POST has perhaps been run.
        HttpClient restless = clients.CreateClient(Restless);
        await SayAsync("GET /model by one who gives each try 0.3 s", restless, HttpMethod.Get, "/model", cancellationToken);
        await SayAsync("POST /model by the same", restless, HttpMethod.Post, "/model", cancellationToken);
    }

    private async Task SayAsync(string what, HttpClient client, HttpMethod method, string path, CancellationToken cancellationToken)
    {
        using HttpRequestMessage request = new(method, path);
        string became;
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, cancellationToken);
            became = response.StatusCode == HttpStatusCode.OK ? await response.Content.ReadAsStringAsync(cancellationToken) : $"{(int)response.StatusCode} {response.ReasonPhrase}";
        }
        catch (OperationCanceledException timeout) when (timeout.InnerException is TimeoutException)
        {
            became = timeout.Message;
        }

        request.Options.TryGetValue(ServeClientHandler.Tries, out int tries);
        await output.WriteLineAsync($"{what}: tries: {tries}; {became}");
    }
}
