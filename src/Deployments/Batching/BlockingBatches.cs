namespace Serve.Embedded.Deployments;

/// <summary>Threads of a replica, for work that blocks.</summary>
internal interface IReplicaThreads
{
    ValueTask<TResult> RunAsync<TResult>(Func<TResult> work);
}

/// <summary>A handler whose batches block, on the replica's own threads.</summary>
internal sealed class BlockingBatches<TRequest, TResponse>(IBlockingBatchDeployment<TRequest, TResponse> handler, IReplicaThreads threads) : IBatchDeployment<TRequest, TResponse>
{
    public ValueTask<IReadOnlyList<TResponse>> HandleBatchAsync(IReadOnlyList<TRequest> batch, CancellationToken cancellationToken) =>
        threads.RunAsync(() => handler.HandleBatch(batch, cancellationToken));
}
