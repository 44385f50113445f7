using Microsoft.Extensions.Logging;

namespace Serve.Embedded;

/// <summary>What a deployment's factory is told about the replica it makes, and where it gets what the replica needs.</summary>
public sealed class DeploymentContext
{
    private readonly IDeploymentCallsFactory _calls;

    internal DeploymentContext(string application, string deployment, string replicaId, TimeProvider time, ILogger logger, IDeploymentCallsFactory calls)
    {
        Application = application;
        Deployment = deployment;
        ReplicaId = replicaId;
        Time = time;
        Logger = logger;
        _calls = calls;
    }

    /// <summary>The application's name.</summary>
    public string Application { get; }

    /// <summary>The deployment's name.</summary>
    public string Deployment { get; }

    /// <summary>The replica's id, unique in this process.</summary>
    public string ReplicaId { get; }

    /// <summary>The server's clock.</summary>
    public TimeProvider Time { get; }

    /// <summary>Writes to the server's log; lines written while a request is handled carry its id.</summary>
    public ILogger Logger { get; }

    /// <summary>A handle to another deployment of the same application. Each replica has a handle, and so a queue, of its own.</summary>
    /// <param name="deployment">The deployment's name.</param>
    /// <exception cref="ArgumentException">The application has no such deployment, or it takes and answers other types.</exception>
    public DeploymentHandle<TRequest, TResponse> GetHandle<TRequest, TResponse>(string deployment) =>
        new(_calls.Create<TRequest, TResponse>(deployment));
}
