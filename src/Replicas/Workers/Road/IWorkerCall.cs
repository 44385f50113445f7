using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>One request for a worker, whichever way it came.</summary>
internal interface IWorkerCall
{
    /// <summary>If a connection that its worker had kept turns out to be closed, it is sent again over a new one, though the worker may have seen it.</summary>
    bool MayBeSentAgain { get; }

    /// <summary>Sends it over a connection, passes the response on, and gives the connection back.</summary>
    ValueTask RunAsync(WorkerConnection connection, WorkerConnections connections, CancellationToken cancellationToken);
}

/// <summary>A request with all that the server knows of it.</summary>
internal readonly struct ContextCall(IFeatureCollection features) : IWorkerCall
{
    public bool MayBeSentAgain => features.Get<SentOnce>() is null && IdempotentMethods.Contain(features.GetRequiredFeature<IHttpRequestFeature>().Method);

    public ValueTask RunAsync(WorkerConnection connection, WorkerConnections connections, CancellationToken cancellationToken) =>
        connection.Call.RunAsync(features, connections, cancellationToken);
}

/// <summary>A plain one, as its client sent it.</summary>
internal readonly struct PlainClientCall(IPlainClient client) : IWorkerCall
{
    public bool MayBeSentAgain => client.MayBeSentAgain;

    public ValueTask RunAsync(WorkerConnection connection, WorkerConnections connections, CancellationToken cancellationToken) =>
        connection.PlainCall.RunAsync(client, connections, isKept: false, cancellationToken);
}
