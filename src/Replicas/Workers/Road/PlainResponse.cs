using System.IO.Pipelines;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>A worker's response as its client gets it, in HTTP/1.1: the head without what belongs to the worker's connection, the body as the client can know its end.</summary>
/// <param name="HasBody">Whether it can have one.</param>
/// <param name="IsChunked">Whether its length was not known when it began.</param>
internal readonly record struct PlainResponse(bool HasBody, bool IsChunked)
{
    /// <summary>What the head may have beside what the worker wrote.</summary>
    private const int RoomForOwn = 512;

    /// <summary>A body up to this is sent in one piece with the head.</summary>
    private const int LargestTogether = 32 * 1024;

    /// <summary>Writes the head.</summary>
    /// <param name="reader">What has the worker's.</param>
    /// <param name="isEmpty">The response has ended, and there was no body.</param>
    /// <param name="client">Who gets it.</param>
    public static PlainResponse Begin(ResponseReader reader, bool isEmpty, IPlainClient client)
    {
        ResponseHead head = reader.Head;
        ReadOnlySpan<byte> bytes = reader.HeadBytes.Span;
        bool mayHaveBody = WorkerCall.HasBody(head.StatusCode) && !client.Request.IsHead;
        long? length = head.ContentLength ?? (isEmpty && mayHaveBody ? 0 : null);
        bool isChunked = length is null && mayHaveBody;
        bool closes = client.ResponseBegins(head.StatusCode, isChunked);

        HeadWriter writer = new(client.Output.GetSpan(bytes.Length + client.RequestId.Length + RoomForOwn + (int)Math.Min(length ?? 0, LargestTogether)));
        if (!WriteLineAndHeaders(head, bytes, ref writer))
        {
            writer.Date(client.Now);
        }

        writer.Header("X-Request-ID"u8, client.RequestId);
        if (closes)
        {
            writer.Header("Connection"u8, "close"u8);
        }

        if (isChunked)
        {
            writer.Header("Transfer-Encoding"u8, "chunked"u8);
        }
        else if (head.StatusCode == StatusCodes.Status205ResetContent)
        {
            if (!client.Request.IsHead)
            {
                writer.Header("Content-Length"u8, 0);
            }
        }
        else if (length is { } known && head.StatusCode != StatusCodes.Status204NoContent)
        {
            writer.Header("Content-Length"u8, known);
        }

        client.Output.Advance(writer.End());
        return new(mayHaveBody, isChunked);
    }

    /// <summary>Writes a piece of the body.</summary>
    public void Write(PipeWriter output, ReadOnlySpan<byte> piece)
    {
        if (!HasBody)
        {
            return;
        }

        if (IsChunked)
        {
            Trailers.BeginChunk(output, piece.Length);
        }

        piece.CopyTo(output.GetSpan(piece.Length));
        output.Advance(piece.Length);
        if (IsChunked)
        {
            Trailers.EndChunk(output);
        }
    }

    /// <summary>Writes the end of the body.</summary>
    public void End(PipeWriter output)
    {
        if (IsChunked)
        {
            Trailers.End(output, []);
        }
    }

    /// <summary>Writes the status line, and what goes on of the worker's headers, in runs of whole lines.</summary>
    /// <returns>Whether there is a date.</returns>
    private static bool WriteLineAndHeaders(ResponseHead head, ReadOnlySpan<byte> bytes, ref HeadWriter writer)
    {
        bool hasDate = false;
        int end = head.LineLength;
        int start = WriteLine(head, bytes, ref writer) ? end : 0;
        foreach (HeaderPlace place in head.Headers)
        {
            ReadOnlySpan<byte> name = place.Name(bytes);
            if (place.Kind is not (HeaderKind.Usual or HeaderKind.Date) || (head.ConnectionNamesOthers && IsNamed(head, bytes, name)))
            {
                continue;
            }

            hasDate |= place.Kind == HeaderKind.Date;
            bool isUsual = place.IsUsual(bytes);
            if (!isUsual || place.NameStart != end)
            {
                writer.Write(bytes[start..end]);
                start = place.NameStart;
            }

            end = place.ValueStart + place.ValueLength + 2;
            if (!isUsual)
            {
                writer.Header(name, place.Value(bytes));
                start = end;
            }
        }

        writer.Write(bytes[start..end]);
        return hasDate;
    }

    /// <returns>Whether there had to be one; else the worker's goes on as it came.</returns>
    private static bool WriteLine(ResponseHead head, ReadOnlySpan<byte> bytes, ref HeadWriter writer)
    {
        ReadOnlySpan<byte> reason = head.ReasonBytes(bytes);
        bool isAscii = !reason.IsEmpty && Ascii.IsValid(reason);
        if (isAscii && head.IsHttp11)
        {
            return false;
        }

        writer.BeginStatus(head.StatusCode);
        if (isAscii)
        {
            writer.EndStatus(reason);
        }
        else
        {
            writer.EndStatus(ReasonPhrases.GetReasonPhrase(head.StatusCode));
        }

        return true;
    }

    private static bool IsNamed(ResponseHead head, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> name)
    {
        foreach (HeaderPlace place in head.Headers)
        {
            if (place.Kind != HeaderKind.Connection)
            {
                continue;
            }

            ReadOnlySpan<byte> value = place.Value(bytes);
            foreach (Range part in value.Split((byte)','))
            {
                if (Ascii.EqualsIgnoreCase(value[part].Trim(" \t"u8), name))
                {
                    return true;
                }
            }
        }

        return false;
    }
}
