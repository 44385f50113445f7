using System.Net.Http.Json;

namespace Serve.Embedded.Client;

/// <summary>Whether what a request carries can be sent more than once.</summary>
internal static class Replay
{
    /// <summary>Makes it so, where that takes no more memory than allowed. Else the content is sent as it is, once.</summary>
    /// <param name="content">What the request carries.</param>
    /// <param name="mostBytes">What may be kept in memory.</param>
    /// <param name="cancellationToken">Ends the reading of the content.</param>
    public static async ValueTask<bool> PrepareAsync(HttpContent? content, long mostBytes, CancellationToken cancellationToken)
    {
        if (content is null or ByteArrayContent or ReadOnlyMemoryContent or JsonContent)
        {
            // These write themselves anew each time.
            return true;
        }

        if (content.Headers.ContentLength is not { } length || length > mostBytes)
        {
            return false;
        }

        await content.LoadIntoBufferAsync(mostBytes, cancellationToken).ConfigureAwait(false);
        return true;
    }
}
