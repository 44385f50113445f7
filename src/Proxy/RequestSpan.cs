using System.Diagnostics;
using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>The span of a request on a port of the server's own: a child of the client's, where it sends a <c>traceparent</c>. In a host its web server has made one already.</summary>
internal static class RequestSpan
{
    private const int FirstError = 500;

    /// <summary>Begins one, as the ambient one of the calling asynchronous method; <see langword="null"/> = nobody wants it.</summary>
    public static Activity? Begin(ActivitySource spans, IHttpRequestFeature request, string requestId)
    {
        // Who started the server, within a span perhaps, is no caller of its requests.
        Activity.Current = null;
        ActivityContext.TryParse(request.Headers.TraceParent, request.Headers.TraceState, isRemote: true, out ActivityContext client);
        Activity? span = spans.StartActivity(SpanNames.HttpRequest, ActivityKind.Server, client);
        if (span is { IsAllDataRequested: true })
        {
            span.SetTag(SpanNames.MethodTag, request.Method);
            span.SetTag(SpanNames.PathTag, request.Path);
            span.SetTag(SpanNames.RequestIdTag, requestId);
        }

        return span;
    }

    public static void End(Activity? span, RequestScope scope, int statusCode)
    {
        if (span is null)
        {
            return;
        }

        if (span.IsAllDataRequested)
        {
            span.SetTag(SpanNames.RouteTag, scope.Route);
            span.SetTag(SpanNames.ApplicationTag, scope.Application);
            span.SetTag(SpanNames.StatusCodeTag, statusCode);
            if (statusCode >= FirstError)
            {
                span.SetTag(SpanNames.ErrorTag, TextOf(statusCode));
                span.SetStatus(ActivityStatusCode.Error);
            }
        }

        span.Dispose();
    }

    public static string TextOf(int statusCode) => statusCode.ToString(CultureInfo.InvariantCulture);
}
