using System.IO.Pipelines;
using Microsoft.AspNetCore.WebUtilities;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Proxy;

/// <summary>An answer that the proxy gives itself to a plain request, as <see cref="OwnAnswers"/> gives it to the others.</summary>
internal static class PlainAnswer
{
    /// <summary>What a head may have.</summary>
    private const int RoomForHead = 1024;

    /// <param name="client">Who gets it.</param>
    /// <param name="statusCode">What it is.</param>
    /// <param name="text">The body, in UTF-8.</param>
    /// <param name="retryAfter">Seconds; <see langword="null"/> = not said.</param>
    /// <param name="notRun">Nothing of the request was run.</param>
    /// <param name="closes">The connection closes after it.</param>
    public static void Write(IPlainClient client, int statusCode, ReadOnlySpan<byte> text, int? retryAfter, bool notRun, bool closes)
    {
        PipeWriter output = client.Output;
        HeadWriter head = new(output.GetSpan(RoomForHead + text.Length));
        head.BeginStatus(statusCode);
        head.EndStatus(ReasonPhrases.GetReasonPhrase(statusCode));
        head.Header("Content-Length"u8, text.Length);
        if (closes)
        {
            head.Header("Connection"u8, "close"u8);
        }

        head.Header("Content-Type"u8, OwnAnswers.PlainText);
        head.Date(client.Now);
        if (retryAfter is { } seconds)
        {
            head.Header("Retry-After"u8, seconds);
        }

        head.Header("X-Request-ID"u8, client.RequestId);
        if (notRun)
        {
            head.Header("X-Request-Not-Run"u8, "?1"u8);
        }

        int length = head.End();
        if (!client.Request.IsHead)
        {
            length = head.Body(text);
        }

        output.Advance(length);
    }
}
