using System.Net;
using System.Net.WebSockets;
using System.Text;
using Batching;
using Serve.Embedded.Config;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Guards;
using Streaming;

namespace Serve.Embedded.Tests.Functional;

/// <summary>The examples' own code and configuration, in a whole server.</summary>
public sealed class ExampleTests
{
    private static CancellationToken Deadline => TestServer.Deadline;

    [Fact]
    public async Task Batching_TextsAtTheSameTime_ShareACallOfTheModel()
    {
        ManualTimeProvider time = new();
        await using TestServer server = await StartAsync("batching", "embed:app", EmbedApplication.Build, time);
        Task<string>[] texts = [.. Enumerable.Range(0, 8).Select(_ => EmbedAsync(server, "Hello World"))];
        while (server.Server.Status.Applications[0].Deployments[0].Replicas[0].Permits.Ongoing != texts.Length)
        {
            Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        using HttpResponseMessage empty = await server.Client.PostAsync("/embed", new StringContent(""), Deadline);
        Assert.Equal(HttpStatusCode.BadRequest, empty.StatusCode);
        await server.PassTimeUntilAsync(Task.WhenAll(texts));

        foreach (Task<string> text in texts)
        {
            Assert.Matches(@"^\[11,2,[1-8]\]$", await text);
        }
    }

    [Fact]
    public async Task Streaming_Events_AreTheWordsOneByOne()
    {
        ManualTimeProvider time = new();
        await using TestServer server = await StartAsync("streaming", "chat:app", ChatApplication.Build, time);
        using HttpResponseMessage response = await server.Client.GetAsync("/chat/events?prompt=to+be", HttpCompletionOption.ResponseHeadersRead, Deadline);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.ToString());
        using StreamReader body = new(await response.Content.ReadAsStreamAsync(Deadline));
        Assert.Equal("data: to", await body.ReadLineAsync(Deadline));
        Task<string> rest = body.ReadToEndAsync(Deadline);

        await server.PassTimeUntilAsync(rest);

        Assert.Equal("\ndata: be\n\nevent: end\ndata:\n\n", await rest);
    }

    [Fact]
    public async Task Streaming_WriterIsFull_ClientIsRefusedBeforeAnythingIsSent()
    {
        ManualTimeProvider time = new();
        await using TestServer server = await StartAsync("streaming", "chat:app", ChatApplication.Build, time);

        // On a busy machine the clock of the test may run far ahead of the threads that write.
        server.Client.DefaultRequestHeaders.Add("x-request-timeout-seconds", "0");
        List<HttpResponseMessage> streams = [];
        for (int i = 0; i < 2; i++)
        {
            streams.Add(await server.Client.GetAsync("/chat/events?prompt=to+be", HttpCompletionOption.ResponseHeadersRead, Deadline));
        }

        Task<HttpResponseMessage>[] waiting = [.. Enumerable.Range(0, 4).Select(_ => server.Client.GetAsync("/chat/events?prompt=to", Deadline))];
        while (server.Waiting != waiting.Length)
        {
            Deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        using HttpResponseMessage refused = await server.Client.GetAsync("/chat/events?prompt=to", Deadline);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.True(refused.Headers.Contains("Retry-After"));
        await server.PassTimeUntilAsync(Task.WhenAll(waiting));
        Assert.All(waiting, static w => Assert.Equal(HttpStatusCode.OK, w.Result.StatusCode));
        streams.ForEach(static s => s.Dispose());
    }

    [Fact]
    public async Task Streaming_Socket_AnswersPromptAfterPrompt()
    {
        ManualTimeProvider time = new();
        await using TestServer server = await StartAsync("streaming", "chat:app", ChatApplication.Build, time);
        using ClientWebSocket socket = new();
        socket.Options.Proxy = null;
        await socket.ConnectAsync(new UriBuilder(server.Address) { Scheme = "ws", Path = "/chat/socket" }.Uri, Deadline);

        foreach (string prompt in (string[])["to be", "or not"])
        {
            await socket.SendAsync(Encoding.UTF8.GetBytes(prompt), WebSocketMessageType.Text, true, Deadline);
            Task<List<string>> words = ReadAsync(socket);
            await server.PassTimeUntilAsync(words);
            Assert.Equal(prompt.Split(' '), await words);
        }

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Deadline);
        using HttpResponseMessage plain = await server.Client.GetAsync("/chat/socket", Deadline);
        Assert.Equal(HttpStatusCode.UpgradeRequired, plain.StatusCode);
    }

    private static async Task<List<string>> ReadAsync(ClientWebSocket socket)
    {
        List<string> words = [];
        byte[] buffer = new byte[100];
        while (true)
        {
            WebSocketReceiveResult received = await socket.ReceiveAsync(buffer, Deadline);
            if (received.Count == 0)
            {
                return words;
            }

            words.Add(Encoding.UTF8.GetString(buffer, 0, received.Count));
        }
    }

    private static async Task<string> EmbedAsync(TestServer server, string text)
    {
        using HttpResponseMessage response = await server.Client.PostAsync("/embed", new StringContent(text), Deadline);
        return await response.EnsureSuccessStatusCode().Content.ReadAsStringAsync(Deadline);
    }

    private static Task<TestServer> StartAsync(string example, string importPath, Action<ApplicationBuilder> build, ManualTimeProvider time)
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication(importPath, build);
        ConfigCatalog catalog = new(registry.Applications.ToDictionary(static a => a.Key, static IReadOnlyList<string> (a) => [.. a.Value.Deployments.Select(static d => d.Name)]));
        ConfigResult read = ConfigReader.ReadFile(Path.Combine(Repository.Root, "examples", example, "config.toml"), catalog);
        return TestServer.StartAsync(registry, Assert.IsType<ServeConfig>(read.Config), time);
    }
}
