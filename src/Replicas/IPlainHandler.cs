using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Replicas;

/// <summary>A handler that passes requests on, and takes a plain one as its client has sent it.</summary>
internal interface IPlainHandler
{
    /// <exception cref="WorkerFailedException">It was not answered as it should.</exception>
    /// <exception cref="OperationCanceledException">The request was ended.</exception>
    ValueTask HandleAsync(IPlainClient client, CancellationToken cancellationToken);
}
