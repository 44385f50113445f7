namespace Serve.Embedded;

/// <summary>One caller's view of one deployment: its own queue of <c>max_queued_requests</c>, in front of replicas that all callers share. Thread-safe.</summary>
/// <typeparam name="TRequest">What the deployment takes.</typeparam>
/// <typeparam name="TResponse">What it answers.</typeparam>
public sealed class DeploymentHandle<TRequest, TResponse>
{
    private readonly IDeploymentCalls<TRequest, TResponse> _calls;

    internal DeploymentHandle(IDeploymentCalls<TRequest, TResponse> calls) => _calls = calls;

    /// <summary>Runs the request on a replica: at once if one has a free place, else when the queue has brought it to the front.</summary>
    /// <param name="request">What to send.</param>
    /// <param name="cancellationToken">Takes the request out of the queue, or cancels its handler.</param>
    /// <exception cref="BackPressureException">The queue is full. Thrown at once, before anything waits.</exception>
    /// <exception cref="DeploymentUnavailableException">The deployment has failed or is being removed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    public ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken = default) =>
        _calls.CallAsync(request, cancellationToken);
}

/// <summary>What stands behind a <see cref="DeploymentHandle{TRequest, TResponse}"/>; admission implements it.</summary>
internal interface IDeploymentCalls<in TRequest, TResponse>
{
    ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken);
}

/// <summary>Makes handles when a deployment's types are known only to its definition.</summary>
internal interface IDeploymentCallsFactory
{
    IDeploymentCalls<TRequest, TResponse> Create<TRequest, TResponse>(string deployment);
}
