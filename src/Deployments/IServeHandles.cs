namespace Serve.Embedded;

/// <summary>Opens handles to deployments for code that is no deployment itself: an endpoint, a background service, a console program. <see cref="ServeHost"/> is one, and so is what the container gives.</summary>
public interface IServeHandles
{
    /// <summary>A handle to a deployment, with a queue of its own. It may be asked for before the server has started, and stays good while applications are updated.</summary>
    /// <typeparam name="TRequest">What the deployment takes.</typeparam>
    /// <typeparam name="TResponse">What it answers.</typeparam>
    /// <param name="application">The application's name.</param>
    /// <param name="deployment">The deployment's name.</param>
    /// <exception cref="ArgumentException">Code added the application, and it has no such deployment, or that one takes and answers other types. Of an application of the configuration file this is told by the calls.</exception>
    /// <exception cref="InvalidOperationException">A deployment that is just being made asks, and the other one calls it, itself or through others: requests would wait for permits that they hold themselves.</exception>
    DeploymentHandle<TRequest, TResponse> GetHandle<TRequest, TResponse>(string application, string deployment);
}
