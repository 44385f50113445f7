using System.Buffers;
using System.Buffers.Text;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Sends a response in chunks of our own, with the worker's trailers behind the last. Kestrel has no trailers in HTTP/1.1, but leaves a body alone whose Transfer-Encoding the
/// response has set itself.
/// </summary>
internal static class Trailers
{
    /// <summary>Whether the client has said that it takes trailers, and the response can have some.</summary>
    public static bool ArePassedOn(IHttpRequestFeature request, ResponseHead head, bool hasBody) =>
        hasBody && head.IsChunked && HttpProtocol.IsHttp11(request.Protocol) && HopByHop.IsNamed(request.Headers.TE, "trailers") && !HttpMethods.IsHead(request.Method);

    /// <summary>What begins a chunk of so many bytes.</summary>
    public static void BeginChunk(PipeWriter writer, int length)
    {
        Span<byte> target = writer.GetSpan(16);
        Utf8Formatter.TryFormat(length, target, out int written, new StandardFormat('x'));
        "\r\n"u8.CopyTo(target[written..]);
        writer.Advance(written + 2);
    }

    public static void EndChunk(PipeWriter writer) => Write(writer, "\r\n"u8);

    /// <summary>The last chunk, and the trailers that say nothing about where a message goes or ends.</summary>
    public static void End(PipeWriter writer, IEnumerable<KeyValuePair<string, byte[]>> trailers)
    {
        Write(writer, "0\r\n"u8);
        foreach ((string name, byte[] value) in trailers)
        {
            if (!HopByHop.Is(name) && !RequestHead.Frames(name))
            {
                Write(writer, HeaderEncoding.Instance.GetBytes(name));
                Write(writer, ": "u8);
                Write(writer, value);
                Write(writer, "\r\n"u8);
            }
        }

        Write(writer, "\r\n"u8);
    }

    /// <summary>The extension method of this name does not ask for room, and finds none where a block has ended.</summary>
    private static void Write(PipeWriter writer, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(writer.GetSpan(bytes.Length));
        writer.Advance(bytes.Length);
    }
}
