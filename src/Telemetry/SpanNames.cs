namespace Serve.Embedded.Telemetry;

/// <summary>The name of every span and of what it is tagged with. Names of spans are Ray Serve's.</summary>
internal static class SpanNames
{
    /// <summary>A request on a port of the server's own. In a host this is the span of the host's web server.</summary>
    public const string HttpRequest = "proxy_http_request";

    /// <summary>One call of a deployment, from HTTP or from code: its wait and its work.</summary>
    public const string RouteToReplica = "route_to_replica";

    /// <summary>The work of a handler.</summary>
    public const string HandleRequest = "replica_handle_request";

    /// <summary>The work of a handler for several calls, to which it has links. Ours.</summary>
    public const string HandleBatch = "replica_handle_batch";

    public const string ApplicationTag = "serve.application";
    public const string DeploymentTag = "serve.deployment";
    public const string ReplicaTag = "serve.replica";
    public const string RequestIdTag = "serve.request_id";
    public const string ModelTag = "serve.model_id";
    public const string BatchSizeTag = "serve.batch_size";

    // As OpenTelemetry names them.
    public const string MethodTag = "http.request.method";
    public const string PathTag = "url.path";
    public const string RouteTag = "http.route";
    public const string StatusCodeTag = "http.response.status_code";
    public const string ErrorTag = "error.type";
}
