using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Proxy;

/// <summary>Sends what a plain handler returned. The response is the proxy's: the guard has been passed.</summary>
internal static class ResultWriter
{
    private const string PlainUtf8 = "text/plain; charset=utf-8";
    private const string Plain = "text/plain";
    private const string Json = "application/json";

    public static Task WriteAsync(HttpResult result, IHttpResponseFeature response, IHttpResponseBodyFeature body, CancellationToken cancellationToken)
    {
        switch (result.Kind)
        {
            case HttpResultKind.Text:
                return WriteAsync(Encoding.UTF8.GetBytes(result.Text), PlainUtf8, response, body, cancellationToken);
            case HttpResultKind.Bytes:
                return WriteAsync(result.Bytes, Plain, response, body, cancellationToken);
            case HttpResultKind.Json:
                return WriteAsync(result.Bytes, Json, response, body, cancellationToken);
            case HttpResultKind.Empty:
                response.Headers.ContentLength = 0;
                return Task.CompletedTask;
            default:
                return Task.CompletedTask;
        }
    }

    private static Task WriteAsync(
        ReadOnlyMemory<byte> bytes, string contentType, IHttpResponseFeature response, IHttpResponseBodyFeature body, CancellationToken cancellationToken)
    {
        SetType(response.Headers, contentType);
        response.Headers.ContentLength = bytes.Length;
        ValueTask<System.IO.Pipelines.FlushResult> write = body.Writer.WriteAsync(bytes, cancellationToken);
        return write.IsCompletedSuccessfully ? Task.CompletedTask : write.AsTask();
    }

    public static async Task WriteAsync(BegunStream stream, IHttpResponseFeature response, IHttpResponseBodyFeature body, CancellationToken cancellationToken)
    {
        SetType(response.Headers, PlainUtf8);
        await body.StartAsync(cancellationToken);
        await stream.WriteAsync(body.Writer, cancellationToken);
    }

    /// <summary>A content type that the handler has set wins.</summary>
    private static void SetType(IHeaderDictionary headers, string contentType)
    {
        if (headers.ContentType.Count == 0)
        {
            headers.ContentType = contentType;
        }
    }
}
