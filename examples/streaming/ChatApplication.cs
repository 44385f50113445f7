using System.Net.WebSockets;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded;

namespace Streaming;

/// <summary>An ingress that speaks server-sent events and WebSocket, and a writer behind it that answers with a stream.</summary>
internal static class ChatApplication
{
    public static void Build(ApplicationBuilder app) => app
        .AddHttp("Chat", context => new Chat(context.GetHandle<string, IAsyncEnumerable<string>>("Writer")), new() { MaxOngoingRequests = 100 })
        .Add<string, IAsyncEnumerable<string>>("Writer", context => new Writer(context.Time), new() { MaxOngoingRequests = 2, MaxQueuedRequests = 4 });
}

/// <summary>Stands for a language model: says the prompt back, one word at a time.</summary>
internal sealed class Writer(TimeProvider time) : IDeployment<string, IAsyncEnumerable<string>>
{
    private static readonly TimeSpan WordTime = TimeSpan.FromMilliseconds(50);

    public ValueTask<IAsyncEnumerable<string>> HandleAsync(string request, CancellationToken cancellationToken) => new(WriteAsync(request, cancellationToken));

    private async IAsyncEnumerable<string> WriteAsync(string prompt, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        foreach (string word in prompt.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            yield return word;
            await Task.Delay(WordTime, time, cancellationToken);
        }
    }
}

/// <summary><c>GET /events?prompt=...</c> answers with server-sent events; <c>GET /socket</c> is a WebSocket that takes prompts and answers each word by word.</summary>
internal sealed class Chat(DeploymentHandle<string, IAsyncEnumerable<string>> writer) : IHttpDeployment
{
    private const int LongestPrompt = 4096;

    public ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken) => context.Request.Path.Value switch
    {
        "/events" => SendEventsAsync(context, cancellationToken),
        "/socket" => ConverseAsync(context, cancellationToken),
        _ => throw new BadHttpRequestException("There are /events and /socket.", StatusCodes.Status404NotFound),
    };

    private async ValueTask SendEventsAsync(HttpContext context, CancellationToken cancellationToken)
    {
        await using IAsyncEnumerator<string> words = writer.StreamAsync(context.Request.Query["prompt"].ToString(), cancellationToken).GetAsyncEnumerator(cancellationToken);

        // The first word before the first byte: when the writer is full, its refusal is still the answer, with its status.
        bool more = await words.MoveNextAsync();
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-cache";
        while (more)
        {
            await context.Response.WriteAsync($"data: {words.Current}\n\n", cancellationToken);
            await context.Response.Body.FlushAsync(cancellationToken);
            more = await words.MoveNextAsync();
        }

        await context.Response.WriteAsync("event: end\ndata:\n\n", cancellationToken);
    }

    private async ValueTask ConverseAsync(HttpContext context, CancellationToken cancellationToken)
    {
        using WebSocket socket = await AcceptAsync(context);
        byte[] buffer = new byte[LongestPrompt];
        while (true)
        {
            ValueWebSocketReceiveResult received = await socket.ReceiveAsync(buffer.AsMemory(), cancellationToken);
            if (received.MessageType == WebSocketMessageType.Close)
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, cancellationToken);
                return;
            }

            if (!received.EndOfMessage)
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.MessageTooBig, $"A prompt has at most {LongestPrompt} bytes.", cancellationToken);
                return;
            }

            try
            {
                await foreach (string word in writer.StreamAsync(Encoding.UTF8.GetString(buffer, 0, received.Count), cancellationToken))
                {
                    await SayAsync(socket, word, cancellationToken);
                }

                await SayAsync(socket, "", cancellationToken);
            }
            catch (BackPressureException refusal)
            {
                // One prompt is refused; the conversation goes on.
                await SayAsync(socket, $"busy, try again in {refusal.RetryAfterSeconds} s", cancellationToken);
            }
        }
    }

    private static ValueTask SayAsync(WebSocket socket, string text, CancellationToken cancellationToken) =>
        socket.SendAsync(Encoding.UTF8.GetBytes(text).AsMemory(), WebSocketMessageType.Text, endOfMessage: true, cancellationToken);

    /// <summary>The handshake of RFC 6455, section 4.2.</summary>
    private static async Task<WebSocket> AcceptAsync(HttpContext context)
    {
        string? key = context.Request.Headers.SecWebSocketKey;
        if (context.Features.Get<IHttpUpgradeFeature>() is not { IsUpgradableRequest: true } upgrade || string.IsNullOrEmpty(key))
        {
            throw new BadHttpRequestException("This is a WebSocket: send an upgrade request.", StatusCodes.Status426UpgradeRequired);
        }

#pragma warning disable CA5350 // The handshake asks for SHA-1 and protects nothing with it.
        byte[] hash = SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
#pragma warning restore CA5350
        context.Response.Headers.Connection = "Upgrade";
        context.Response.Headers.Upgrade = "websocket";
        context.Response.Headers.SecWebSocketAccept = Convert.ToBase64String(hash);
        return WebSocket.CreateFromStream(await upgrade.UpgradeAsync(), new WebSocketCreationOptions { IsServer = true });
    }
}
