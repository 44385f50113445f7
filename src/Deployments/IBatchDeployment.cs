namespace Serve.Embedded;

/// <summary>
/// A deployment's handler that works on several requests at once, where that costs less than one after the other (a model, a bulk insert). Callers send single requests and get single answers;
/// the server gathers them. Registered with <c>AddBatch</c>; Ray Serve's <c>@serve.batch</c>.
/// </summary>
/// <typeparam name="TRequest">What one caller sends.</typeparam>
/// <typeparam name="TResponse">What one caller gets back; over HTTP as <see cref="IDeployment{TRequest, TResponse}"/> says.</typeparam>
public interface IBatchDeployment<in TRequest, TResponse>
{
    /// <summary>Handles one batch. Up to <see cref="BatchOptions{TRequest}.MaxConcurrentBatches"/> calls run at the same time on one instance, on the thread pool.</summary>
    /// <param name="batch">One request or more, in the order in which they came. It is the handler's to keep.</param>
    /// <param name="cancellationToken">Set when every caller of the batch has left, or the replica must stop now. One caller who leaves stops nothing.</param>
    /// <returns>As many answers, in the same order. With any other number every caller of the batch fails with <see cref="InvalidOperationException"/>.</returns>
    /// <exception cref="Exception">Anything thrown goes to every caller of the batch; the next batch is not harmed.</exception>
    ValueTask<IReadOnlyList<TResponse>> HandleBatchAsync(IReadOnlyList<TRequest> batch, CancellationToken cancellationToken);
}
