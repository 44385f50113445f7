using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Deployments;

/// <summary><c>builtin:echo</c>: answers with the request's body as it arrives, or <c>ok</c> where there is none.</summary>
internal sealed class EchoDeployment : IHttpDeployment
{
    private static readonly ReadOnlyMemory<byte> Ok = "ok"u8.ToArray();

    public ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken)
    {
        HttpRequest request = context.Request;
        HttpResponse response = context.Response;
        if (request.ContentLength is 0 || (request.ContentLength is null && request.Headers.TransferEncoding.Count == 0))
        {
            response.ContentType = "text/plain; charset=utf-8";
            response.ContentLength = Ok.Length;
            ValueTask<System.IO.Pipelines.FlushResult> write = response.BodyWriter.WriteAsync(Ok, cancellationToken);
            return write.IsCompletedSuccessfully ? ValueTask.CompletedTask : new(write.AsTask());
        }

        response.ContentType = request.ContentType ?? "application/octet-stream";
        response.ContentLength = request.ContentLength;
        return new(request.BodyReader.CopyToAsync(response.BodyWriter, cancellationToken));
    }
}
