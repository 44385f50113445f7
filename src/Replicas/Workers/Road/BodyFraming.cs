using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>How the end of a request's body is known.</summary>
/// <param name="Length">Its length; <see langword="null"/> if it is not known, or there is no body and none was announced.</param>
/// <param name="IsChunked">It is sent in chunks.</param>
internal readonly record struct BodyFraming(long? Length, bool IsChunked)
{
    public bool HasBody => IsChunked || Length > 0;

    /// <summary>As the client has framed it: the server has refused all that is ambiguous.</summary>
    public static BodyFraming Of(IHeaderDictionary headers) =>
        headers.TransferEncoding.Count > 0 ? new(null, true) : new(headers.ContentLength, false);
}
