namespace Serve.Embedded;

/// <summary>What one call through a <see cref="DeploymentHandle{TRequest, TResponse}"/> asks for beside its request. Ray Serve's <c>handle.options(...)</c>.</summary>
public readonly record struct CallOptions
{
    /// <summary>
    /// How long the call may take, waiting included; above 0. When it is over the call throws <see cref="TimeoutException"/> and its handler is cancelled; a handler that ignores that keeps its permit,
    /// but not its caller. <see langword="null"/> (default) = as long as the caller's token lets it.
    /// </summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>
    /// The model that the call needs: replicas that have it are preferred (<see cref="MultiplexedModels{TModel}"/>), and the handler reads it as <see cref="CurrentRequest.ModelId"/>.
    /// <see langword="null"/> (default) = none, also where the caller's own request names one: pass that on if the other deployment shall have it too.
    /// </summary>
    public string? ModelId { get; init; }

    /// <summary>
    /// The conversation that the call belongs to: calls of one session go to the same replica while it has a free permit, else to the same second one, and so on.
    /// <see langword="null"/> (default) = none, also where the caller's own request has one.
    /// </summary>
    public string? SessionId { get; init; }
}
