namespace Serve.Embedded.Handles;

/// <summary>The handles that one replica has opened to other deployments of its application; closed when the replica is gone.</summary>
internal sealed class ReplicaHandles(string application, IReadOnlyDictionary<string, ServedDeployment> deployments, ServedDeployment? owner = null) : IDeploymentCallsFactory, IDisposable
{
    private readonly List<Handle> _open = [];

    public IDeploymentCalls<TRequest, TResponse> Create<TRequest, TResponse>(string deployment)
    {
        if (!deployments.TryGetValue(deployment, out ServedDeployment? served))
        {
            throw new ArgumentException(
                $"Application '{application}' has no deployment '{deployment}'. It has: {string.Join(", ", deployments.Keys.Order(StringComparer.Ordinal))}.", nameof(deployment));
        }

        if (served.Definition.Request != typeof(TRequest) || served.Definition.Response != typeof(TResponse))
        {
            throw new ArgumentException(
                $"Deployment '{deployment}' of application '{application}' takes {served.Definition.Request?.Name ?? "HTTP only"} and answers {served.Definition.Response?.Name ?? "HTTP only"}, not {typeof(TRequest).Name} and {typeof(TResponse).Name}.",
                nameof(deployment));
        }

        owner?.Calls(served, deployments);
        Handle handle = served.OpenHandle();
        lock (_open)
        {
            _open.Add(handle);
        }

        return new HandleCalls<TRequest, TResponse>(served, handle);
    }

    public void Dispose()
    {
        lock (_open)
        {
            foreach (Handle handle in _open)
            {
                handle.Gate.RemoveHandle(handle);
            }

            _open.Clear();
        }
    }
}
