using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Serve.Embedded.Deployments;

/// <summary>Turns what a plain handler returns into a response, by Ray Serve's rules: text, bytes, nothing, a stream, or JSON.</summary>
internal sealed class ResultConverter<TResponse>
{
    private readonly JsonTypeInfo<TResponse>? _json;

    public ResultConverter(JsonTypeInfo<TResponse>? json, string deployment)
    {
        _json = json;
        if (json is null && !HttpEntry.IsPlain(typeof(TResponse)))
        {
            throw new ArgumentException(
                $"Deployment '{deployment}' answers HTTP with {typeof(TResponse)}, which is sent as JSON: pass the JsonTypeInfo of a source-generated context when registering it.");
        }
    }

    public HttpResult Convert(TResponse response) => response switch
    {
        null => HttpResult.Empty,
        string text => HttpResult.OfText(text),
        byte[] bytes => HttpResult.OfBytes(bytes),
        ReadOnlyMemory<byte> bytes => HttpResult.OfBytes(bytes),
        IAsyncEnumerable<string> texts => HttpResult.OfChunks(Encode(texts)),
        IAsyncEnumerable<byte[]> arrays => HttpResult.OfChunks(Wrap(arrays)),
        IAsyncEnumerable<ReadOnlyMemory<byte>> chunks => HttpResult.OfChunks(chunks),
        _ => HttpResult.OfJson(JsonSerializer.SerializeToUtf8Bytes(response, _json!)),
    };

    private static async IAsyncEnumerable<ReadOnlyMemory<byte>> Encode(
        IAsyncEnumerable<string> texts, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (string text in texts.WithCancellation(cancellationToken))
        {
            yield return Encoding.UTF8.GetBytes(text);
        }
    }

    private static async IAsyncEnumerable<ReadOnlyMemory<byte>> Wrap(
        IAsyncEnumerable<byte[]> arrays, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (byte[] array in arrays.WithCancellation(cancellationToken))
        {
            yield return array;
        }
    }
}
