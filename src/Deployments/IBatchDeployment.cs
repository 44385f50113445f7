namespace Serve.Embedded;

/// <summary>
/// A deployment's handler that works on several requests at once, where that costs less than one after the other (a model, a bulk insert). Callers send single requests and get single answers;
/// the server gathers them. Registered with <c>AddBatch</c>; Ray Serve's <c>@serve.batch</c>. All requests of a batch name the same model, or none, and <see cref="CurrentRequest.ModelId"/> says which.
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

/// <summary>
/// A deployment's handler that works on several requests at once and blocks its thread meanwhile (a model in a native library). It runs on threads of its replica, one for each of the
/// <see cref="BatchOptions{TRequest}.MaxConcurrentBatches"/>. Registered with <c>AddBlockingBatch</c>; else as <see cref="IBatchDeployment{TRequest, TResponse}"/>.
/// </summary>
/// <typeparam name="TRequest">What one caller sends.</typeparam>
/// <typeparam name="TResponse">What one caller gets back.</typeparam>
public interface IBlockingBatchDeployment<in TRequest, TResponse>
{
    /// <summary>Handles one batch on a thread of the replica.</summary>
    /// <inheritdoc cref="IBatchDeployment{TRequest, TResponse}.HandleBatchAsync"/>
    IReadOnlyList<TResponse> HandleBatch(IReadOnlyList<TRequest> batch, CancellationToken cancellationToken);
}

/// <summary>
/// A deployment's handler that works on several requests at once and answers each of them with a stream (tokens of a language model). Registered with <c>AddStreamingBatch</c>; callers read it with
/// <c>StreamAsync</c>. Ray Serve's <c>@serve.batch</c> on a generator.
/// </summary>
/// <typeparam name="TRequest">What one caller sends.</typeparam>
/// <typeparam name="TItem">What the streams consist of.</typeparam>
public interface IStreamingBatchDeployment<in TRequest, TItem>
{
    /// <summary>Handles one batch. Up to <see cref="BatchOptions{TRequest}.MaxConcurrentBatches"/> calls run at the same time on one instance, on the thread pool.</summary>
    /// <param name="batch">One request or more, in the order in which they came. It is the handler's to keep.</param>
    /// <param name="cancellationToken">Set when every caller of the batch has left or is done, or the replica must stop now. One caller who leaves stops nothing.</param>
    /// <returns>
    /// Lists with one step for each request of the batch, in the same order: the next item of its stream, or <see cref="BatchStep{TItem}.End"/>. What stands in the place of a caller who is done or has
    /// left is not looked at. With any other number of steps every stream that has not ended fails with <see cref="InvalidOperationException"/>. Steps do not wait for slow readers.
    /// </returns>
    /// <exception cref="Exception">Anything thrown ends every stream that has not ended; the next batch is not harmed.</exception>
    IAsyncEnumerable<IReadOnlyList<BatchStep<TItem>>> HandleBatchAsync(IReadOnlyList<TRequest> batch, CancellationToken cancellationToken);
}

/// <summary>What one caller of a streaming batch gets next: an item, or the end of its stream. An item is one by itself: <c>yield return ["a", BatchStep&lt;string&gt;.End]</c>.</summary>
/// <typeparam name="TItem">What the streams consist of.</typeparam>
public readonly struct BatchStep<TItem>
{
    /// <summary>The caller's next item.</summary>
    /// <param name="item">It.</param>
    public BatchStep(TItem item)
    {
        Item = item;
        HasItem = true;
    }

    /// <summary>The caller's stream ends here; others go on.</summary>
#pragma warning disable CA1000 // Without the type there is no telling whose stream it ends.
    public static BatchStep<TItem> End => default;
#pragma warning restore CA1000

    internal TItem Item { get; }

    internal bool HasItem { get; }

    /// <summary>The caller's next item.</summary>
    public static implicit operator BatchStep<TItem>(TItem item) => new(item);
}
