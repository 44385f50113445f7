using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Proxy;

/// <summary>
/// The host's connection. Over HTTP/1 Kestrel goes on to the next request although the connection has ended, and does not read the last one's body to its end before: what has come of a body would be a request.
/// The connection is not ours to empty, but it can be told to take no more requests.
/// </summary>
internal static class HostConnection
{
    private static readonly object Key = new();

    /// <summary>From here on the end of the connection is the end of its requests. For each request, since only one with a body is worth it.</summary>
    public static void Guard(IFeatureCollection features, IHttpRequestFeature request, IHttpResponseFeature response)
    {
        if (features[typeof(IHttpRequestBodyDetectionFeature)] is not IHttpRequestBodyDetectionFeature { CanHaveBody: true } || Of(features, request) is not { } connection)
        {
            return;
        }

        // Who aborted the request, a middleware or Kestrel itself, is over when Kestrel has sent what it could, and told to the connection later than that.
        response.OnCompleted(static of =>
        {
            IFeatureCollection features = (IFeatureCollection)of;
            if (features.Get<IHttpRequestLifetimeFeature>() is { RequestAborted.IsCancellationRequested: true })
            {
                features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
            }

            return Task.CompletedTask;
        }, features);
        if (features.Get<IConnectionLifetimeFeature>() is { } lifetime && features.Get<IConnectionItemsFeature>() is { } items && items.Items.TryAdd(Key, null))
        {
            // Who registers last is told first: when Kestrel learns that the connection has ended, it has been told already to take nothing more from it.
            lifetime.ConnectionClosed.UnsafeRegister(static connection => ((IConnectionLifetimeNotificationFeature)connection!).RequestClose(), connection);
        }
    }

    /// <summary>Before the request is aborted: its connection learns of that later, and in between would be the next one.</summary>
    public static void TakeNoMore(IFeatureCollection features, IHttpRequestFeature request) => Of(features, request)?.RequestClose();

    /// <summary>Later versions of HTTP have no rest of a body that could be taken for a request, and other requests on the same connection.</summary>
    private static IConnectionLifetimeNotificationFeature? Of(IFeatureCollection features, IHttpRequestFeature request) =>
        request.Protocol.StartsWith("HTTP/1.", StringComparison.Ordinal) ? features.Get<IConnectionLifetimeNotificationFeature>() : null;
}
