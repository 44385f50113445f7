namespace Serve.Embedded.Handles;

/// <summary>Calls from code that belongs to no replica: each goes to the deployment as it is served at that moment, through one handle for as long as that is the same one.</summary>
internal sealed class ApplicationCalls<TRequest, TResponse>(ServingState serving, string application, string deployment) : IDeploymentCalls<TRequest, TResponse>
{
    private readonly Lock _gate = new();
    private Target? _target;

    public ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken)
    {
        Target target = Current();
        if (target.Calls is null)
        {
            return ValueTask.FromException<TResponse>(target.Trouble!());
        }

        ValueTask<TResponse> work = target.Calls.CallAsync(request, cancellationToken);

        if (!work.IsFaulted || target.Snapshot == serving.Current)
        {
            return work;
        }

        // Where another revision has just taken over, that one runs what the old one would not admit.
        Task<TResponse> ended = work.AsTask();
        return ended.Exception!.InnerException is DeploymentUnavailableException unavailable && unavailable.RefusedBy == target.Deployment
            ? CallAsync(request, cancellationToken)
            : new(ended);
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
