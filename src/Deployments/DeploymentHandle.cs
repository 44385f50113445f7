using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>One caller's view of one deployment: its own queue of <c>max_queued_requests</c>, in front of replicas that all callers share. Thread-safe.</summary>
/// <remarks>
/// What runs on behalf of a request passes that request's token on: then the call ends when the client leaves or the request's time is over, and its siblings go on. A call that shall outlive its request passes none.
/// </remarks>
/// <typeparam name="TRequest">What the deployment takes.</typeparam>
/// <typeparam name="TResponse">What it answers. A deployment that answers with <see cref="IAsyncEnumerable{T}"/> is called with <see cref="DeploymentStreams.StreamAsync{TRequest, TItem}(DeploymentHandle{TRequest, IAsyncEnumerable{TItem}}, TRequest, CancellationToken)"/>.</typeparam>
public sealed class DeploymentHandle<TRequest, TResponse>
{
    private readonly IDeploymentCalls<TRequest, TResponse> _calls;

    /// <summary>
    /// A handle to a function: what a unit test gives to a deployment that calls others, or a way to call a handler (<c>handler.HandleAsync</c>) as a handle would, with the model and session of
    /// <see cref="CallOptions"/> as <see cref="CurrentRequest"/>. There is no server behind it, no queue and no limit, and <see cref="CallOptions.Timeout"/> is not watched.
    /// </summary>
    /// <param name="handle">Answers each call; what it throws goes to the caller. Broadcasts call it once.</param>
    public DeploymentHandle(Func<TRequest, CancellationToken, ValueTask<TResponse>> handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        _calls = new FunctionCalls<TRequest, TResponse>(handle);
    }

    internal DeploymentHandle(IDeploymentCalls<TRequest, TResponse> calls) => _calls = calls;

    internal IDeploymentCalls<TRequest, TResponse> Calls => _calls;

    /// <summary>Runs the request on a replica: at once if one has a free place, else when the queue has brought it to the front.</summary>
    /// <param name="request">What to send.</param>
    /// <param name="cancellationToken">Takes the request out of the queue, or cancels its handler.</param>
    /// <exception cref="BackPressureException">The queue is full. Thrown at once, before anything waits.</exception>
    /// <exception cref="DeploymentUnavailableException">The deployment has failed or is being removed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="InvalidOperationException">The deployment answers with a stream.</exception>
    /// <exception cref="Exception">What the handler throws, as it is.</exception>
    public ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken = default) =>
        _calls.CallAsync(request, cancellationToken);

    /// <summary>Runs the request on a replica, with options for this call.</summary>
    /// <param name="request">What to send.</param>
    /// <param name="options">A timeout, a model, a session.</param>
    /// <param name="cancellationToken">Takes the request out of the queue, or cancels its handler.</param>
    /// <exception cref="TimeoutException"><see cref="CallOptions.Timeout"/> is over.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><see cref="CallOptions.Timeout"/> is not above 0, or longer than 24 days.</exception>
    /// <inheritdoc cref="CallAsync(TRequest, CancellationToken)"/>
    public ValueTask<TResponse> CallAsync(TRequest request, CallOptions options, CancellationToken cancellationToken = default) =>
        options == default ? _calls.CallAsync(request, cancellationToken) : _calls.CallAsync(request, options, cancellationToken);

    /// <summary>
    /// Runs the request on every replica that takes requests now, once on each and on all at the same time: to drop a cache, to swap a file. It neither waits for a permit nor takes one, so that it reaches
    /// replicas that are full; a replica that stops waits for it.
    /// </summary>
    /// <param name="request">What to send; all replicas get the same object.</param>
    /// <param name="cancellationToken">Cancels the handlers.</param>
    /// <returns>One answer from each replica, in no order; none where there is no replica. If handlers throw, the first of their exceptions is thrown once all have ended.</returns>
    /// <exception cref="DeploymentUnavailableException">The deployment is not served, or is being removed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="InvalidOperationException">The deployment answers with a stream.</exception>
    public Task<IReadOnlyList<TResponse>> BroadcastAsync(TRequest request, CancellationToken cancellationToken = default) =>
        _calls.BroadcastAsync(request, cancellationToken);
}

/// <summary>What stands behind a <see cref="DeploymentHandle{TRequest, TResponse}"/>; admission implements it.</summary>
internal interface IDeploymentCalls<in TRequest, TResponse>
{
    ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken);

    ValueTask<TResponse> CallAsync(TRequest request, CallOptions options, CancellationToken cancellationToken);

    /// <summary>Runs the request and keeps its permit until the call is ended.</summary>
    ValueTask<IHeldCall<TResponse>> HoldAsync(TRequest request, CallOptions options, CancellationToken cancellationToken);

    Task<IReadOnlyList<TResponse>> BroadcastAsync(TRequest request, CancellationToken cancellationToken);
}

/// <summary>A call whose handler has returned what is worked on while it is read.</summary>
internal interface IHeldCall<out TResponse>
{
    TResponse Response { get; }

    /// <summary>Ends with the caller, with the call's time, and with the replica.</summary>
    CancellationToken Token { get; }

    /// <summary>Makes its request the current one, until the calling asynchronous method returns.</summary>
    void Enter();

    /// <summary>What to throw in an exception's place.</summary>
    Exception Translate(Exception exception);

    /// <summary>The work is over: gives the permit back.</summary>
    /// <param name="completed">It was read to its end.</param>
    /// <param name="error">What it threw.</param>
    void End(bool completed, Exception? error);
}

/// <summary>Makes handles when a deployment's types are known only to its definition.</summary>
internal interface IDeploymentCallsFactory
{
    IDeploymentCalls<TRequest, TResponse> Create<TRequest, TResponse>(string deployment);
}
