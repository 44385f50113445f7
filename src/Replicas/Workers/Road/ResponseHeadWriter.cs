using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Hands a worker's status and headers to the response of the client.</summary>
internal static class ResponseHeadWriter
{
    /// <param name="features">The client's request.</param>
    /// <param name="reader">What has the head.</param>
    /// <param name="response">The client's response.</param>
    /// <param name="closes">Whether the client's connection ends with it, because the request has not.</param>
    /// <param name="withTrailers">Whether trailers will come, so that the response is sent in chunks of our own.</param>
    public static void Write(IFeatureCollection features, ResponseReader reader, IHttpResponseFeature response, bool closes, bool withTrailers)
    {
        ResponseHead head = reader.Head;
        ReadOnlySpan<byte> bytes = reader.HeadBytes.Span;
        response.StatusCode = head.StatusCode;
        string reason = head.Reason(bytes);
        if (reason.Length > 0 && Ascii.IsValid(reason) && reason != ReasonPhrases.GetReasonPhrase(head.StatusCode))
        {
            response.ReasonPhrase = reason;
        }

        IHeaderDictionary headers = response.Headers;
        StringValues connection = Connection(head, bytes);
        bool namesOthers = HopByHop.NamesOthers(connection);
        bool hasRequestId = RequestScope.Current?.RequestId is not null;
        foreach (HeaderPlace place in head.Headers)
        {
            string name = Encoding.Latin1.GetString(place.Name(bytes));
            bool isPassed = place.Kind switch
            {
                HeaderKind.Usual or HeaderKind.Date => true,
                HeaderKind.Trailer => withTrailers,

                // It was sent already, by whoever gave it.
                HeaderKind.RequestId => !hasRequestId,
                _ => false,
            };
            if (!isPassed || (namesOthers && HopByHop.IsNamed(connection, name)))
            {
                continue;
            }

            StringValues value = Text(place.Value(bytes), features);
            headers[name] = headers.TryGetValue(name, out StringValues before) ? StringValues.Concat(before, value) : value;
        }

        if (head.ContentLength is { } length && head.StatusCode is not (StatusCodes.Status204NoContent or StatusCodes.Status205ResetContent))
        {
            headers.ContentLength = length;
        }

        if (head.StatusCode == StatusCodes.Status101SwitchingProtocols)
        {
            foreach (HeaderPlace place in head.Headers)
            {
                if (place.Kind == HeaderKind.Upgrade)
                {
                    headers.Upgrade = Text(place.Value(bytes), features);
                }
            }
        }

        if (withTrailers)
        {
            headers.TransferEncoding = "chunked";
        }

        if (closes)
        {
            headers.Connection = "close";
        }
    }

    /// <summary>A value as the server will send it. A server that is not ours sends ASCII alone, and would rather send nothing than anything else.</summary>
    private static string Text(ReadOnlySpan<byte> value, IFeatureCollection features) =>
        Ascii.IsValid(value) ? Encoding.ASCII.GetString(value) :
        features.Get<HeaderEncoding>() is { } encoding ? encoding.GetString(value) :
        Encoding.ASCII.GetString(value).Replace('\uFFFD', '?');

    private static StringValues Connection(ResponseHead head, ReadOnlySpan<byte> bytes)
    {
        StringValues connection = default;
        foreach (HeaderPlace place in head.Headers)
        {
            if (place.Kind == HeaderKind.Connection)
            {
                connection = StringValues.Concat(connection, Encoding.Latin1.GetString(place.Value(bytes)));
            }
        }

        return connection;
    }
}
