using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>One request for a worker, whichever way it came.</summary>
internal interface IWorkerCall
{
    string Method { get; }

    /// <summary>Sends it over a connection, passes the response on, and gives the connection back.</summary>
    ValueTask RunAsync(WorkerConnection connection, WorkerConnections connections, CancellationToken cancellationToken);
}

/// <summary>A request with all that the server knows of it.</summary>
internal readonly struct ContextCall(IFeatureCollection features) : IWorkerCall
{
    public string Method => features.GetRequiredFeature<IHttpRequestFeature>().Method;

    public ValueTask RunAsync(WorkerConnection connection, WorkerConnections connections, CancellationToken cancellationToken) =>
        connection.Call.RunAsync(features, connections, cancellationToken);
}

/// <summary>A plain one, as its client sent it.</summary>
internal readonly struct PlainClientCall(IPlainClient client) : IWorkerCall
{
    public string Method => client.Request.Method;

    public ValueTask RunAsync(WorkerConnection connection, WorkerConnections connections, CancellationToken cancellationToken) =>
        connection.PlainCall.RunAsync(client, connections, isKept: false, cancellationToken);
}
