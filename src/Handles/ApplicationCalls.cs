namespace Serve.Embedded.Handles;

/// <summary>Calls from code that belongs to no replica: each goes to the deployment as it is served at that moment, through one handle for as long as that is the same one.</summary>
internal sealed class ApplicationCalls<TRequest, TResponse>(ServingState serving, string application, string deployment) : IDeploymentCalls<TRequest, TResponse>
{
    private readonly Lock _gate = new();
    private Target? _target;

    public ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken) =>
        Through(static (calls, call) => calls.CallAsync(call.request, call.cancellationToken), (request, cancellationToken));

    public ValueTask<TResponse> CallAsync(TRequest request, CallOptions options, CancellationToken cancellationToken) =>
        Through(static (calls, call) => calls.CallAsync(call.request, call.options, call.cancellationToken), (request, options, cancellationToken));

    public ValueTask<IHeldCall<TResponse>> HoldAsync(TRequest request, CallOptions options, CancellationToken cancellationToken) =>
        Through(static (calls, call) => calls.HoldAsync(call.request, call.options, call.cancellationToken), (request, options, cancellationToken));

    public Task<IReadOnlyList<TResponse>> BroadcastAsync(TRequest request, CancellationToken cancellationToken) =>
        Through(static (calls, call) => new ValueTask<IReadOnlyList<TResponse>>(calls.BroadcastAsync(call.request, call.cancellationToken)), (request, cancellationToken)).AsTask();

    /// <summary>Makes a call where the deployment is served now. Where another revision has just taken over, that one runs what the old one would not admit.</summary>
    private ValueTask<TResult> Through<TState, TResult>(Func<HandleCalls<TRequest, TResponse>, TState, ValueTask<TResult>> call, TState state)
    {
        Target target = Current();
        if (target.Calls is null)
        {
            return ValueTask.FromException<TResult>(target.Trouble!());
        }

        ValueTask<TResult> work = call(target.Calls, state);
        if (!work.IsFaulted || target.Snapshot == serving.Current)
        {
            return work;
        }

        Task<TResult> ended = work.AsTask();
        return ended.Exception!.InnerException is DeploymentUnavailableException unavailable && unavailable.RefusedBy == target.Deployment ? Through(call, state) : new(ended);
    }

    private Target Current()
    {
        ServingSnapshot snapshot = serving.Current;
        Target? target = Volatile.Read(ref _target);
        return target?.Snapshot == snapshot ? target : Look(snapshot);
    }

    private Target Look(ServingSnapshot snapshot)
    {
        lock (_gate)
        {
            if (_target?.Snapshot != snapshot)
            {
                ServedDeployment? served = snapshot.Applications.FirstOrDefault(a => a.Name == application)?.Deployments.FirstOrDefault(d => d.Name == deployment);
                Volatile.Write(ref _target, served is not null && served == _target?.Deployment ? _target with { Snapshot = snapshot } : Open(snapshot, served));
            }

            return _target!;
        }
    }

    private Target Open(ServingSnapshot snapshot, ServedDeployment? served)
    {
        if (served is null)
        {
            return new(snapshot, null, null, () => new DeploymentUnavailableException(
                $"Deployment '{deployment}' of application '{application}' is not served: the server has not started or has ended, or there is no such deployment."));
        }

        return served.Definition.TypeTrouble(application, typeof(TRequest), typeof(TResponse)) is { } wrong
            ? new(snapshot, served, null, () => new ArgumentException(wrong))
            : new(snapshot, served, new HandleCalls<TRequest, TResponse>(served, served.OpenHandle()), null);
    }

    private sealed record Target(ServingSnapshot Snapshot, ServedDeployment? Deployment, HandleCalls<TRequest, TResponse>? Calls, Func<Exception>? Trouble);
}
