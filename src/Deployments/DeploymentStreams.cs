using System.Runtime.CompilerServices;

namespace Serve.Embedded;

/// <summary>Calls of deployments that answer with a stream.</summary>
public static class DeploymentStreams
{
    /// <summary>
    /// Runs the request on a replica and reads its answer item by item. Nothing happens before the first item is asked for; from then on the call holds a permit of the replica until the stream has ended or
    /// is disposed of (<c>await foreach</c> does that). Each enumeration is a call of its own.
    /// </summary>
    /// <param name="handle">To a deployment whose answers are streams.</param>
    /// <param name="request">What to send.</param>
    /// <param name="cancellationToken">Takes the request out of the queue, or ends the stream with <see cref="OperationCanceledException"/>.</param>
    /// <returns>The items. Where the call is refused (<see cref="BackPressureException"/>, <see cref="DeploymentUnavailableException"/>), that is thrown in the first one's place.</returns>
    public static IAsyncEnumerable<TItem> StreamAsync<TRequest, TItem>(
        this DeploymentHandle<TRequest, IAsyncEnumerable<TItem>> handle, TRequest request, CancellationToken cancellationToken = default) =>
        StreamAsync(handle, request, default, cancellationToken);

    /// <param name="handle">To a deployment whose answers are streams.</param>
    /// <param name="request">What to send.</param>
    /// <param name="options">A timeout for the whole stream (<see cref="TimeoutException"/>), a model, a session.</param>
    /// <param name="cancellationToken">Takes the request out of the queue, or ends the stream with <see cref="OperationCanceledException"/>.</param>
    /// <inheritdoc cref="StreamAsync{TRequest, TItem}(DeploymentHandle{TRequest, IAsyncEnumerable{TItem}}, TRequest, CancellationToken)"/>
    public static IAsyncEnumerable<TItem> StreamAsync<TRequest, TItem>(
        this DeploymentHandle<TRequest, IAsyncEnumerable<TItem>> handle, TRequest request, CallOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(handle);
        return ReadAsync(handle.Calls, request, options, cancellationToken);
    }

    private static async IAsyncEnumerable<TItem> ReadAsync<TRequest, TItem>(
        IDeploymentCalls<TRequest, IAsyncEnumerable<TItem>> calls, TRequest request, CallOptions options, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        IHeldCall<IAsyncEnumerable<TItem>> call = await calls.HoldAsync(request, options, cancellationToken);
        bool completed = false;
        Exception? error = null;
        try
        {
            call.Enter();
            await using IAsyncEnumerator<TItem> items = call.Response.GetAsyncEnumerator(call.Token);
            while (true)
            {
                try
                {
                    call.Enter();
                    completed = !await items.MoveNextAsync();
                }
                catch (Exception exception)
                {
                    error = exception;
                    if (call.Translate(exception) is { } other && other != exception)
                    {
                        throw other;
                    }

                    throw;
                }

                if (completed)
                {
                    break;
                }

                yield return items.Current;
            }
        }
        finally
        {
            call.End(completed, error);
        }
    }
}
