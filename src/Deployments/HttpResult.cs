namespace Serve.Embedded.Deployments;

/// <summary>What a handler's result is to be on the wire. The work is over when one exists, but for a stream, which is worked on while it is sent.</summary>
internal readonly struct HttpResult
{
    private readonly object? _value;

    private HttpResult(HttpResultKind kind, object? value, ReadOnlyMemory<byte> bytes)
    {
        Kind = kind;
        _value = value;
        Bytes = bytes;
    }

    public HttpResultKind Kind { get; }

    public ReadOnlyMemory<byte> Bytes { get; }

    public string Text => (string)_value!;

    public IAsyncEnumerable<ReadOnlyMemory<byte>> Chunks => (IAsyncEnumerable<ReadOnlyMemory<byte>>)_value!;

    /// <summary>The handler has written the response itself.</summary>
    public static HttpResult Written => new(HttpResultKind.Written, null, default);

    public static HttpResult Empty => new(HttpResultKind.Empty, null, default);

    public static HttpResult OfText(string text) => new(HttpResultKind.Text, text, default);

    public static HttpResult OfBytes(ReadOnlyMemory<byte> bytes) => new(HttpResultKind.Bytes, null, bytes);

    public static HttpResult OfJson(ReadOnlyMemory<byte> json) => new(HttpResultKind.Json, null, json);

    public static HttpResult OfChunks(IAsyncEnumerable<ReadOnlyMemory<byte>> chunks) => new(HttpResultKind.Chunks, chunks, default);
}

internal enum HttpResultKind
{
    Written,
    Empty,
    Text,
    Bytes,
    Json,
    Chunks,
}
