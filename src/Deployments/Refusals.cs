namespace Serve.Embedded;

/// <summary>The request was refused because the deployment's queue is full, or because it waited longer than <c>max_queue_wait_s</c>. Over HTTP: 503 or 429 with <c>Retry-After</c>.</summary>
public sealed class BackPressureException : Exception
{
    internal BackPressureException(string message, int statusCode, int retryAfterSeconds)
        : base(message)
    {
        StatusCode = statusCode;
        RetryAfterSeconds = retryAfterSeconds;
    }

    /// <summary>The HTTP status that the deployment's <c>backpressure_config</c> asks for: 503 or 429.</summary>
    public int StatusCode { get; }

    /// <summary>When to try again, in whole seconds.</summary>
    public int RetryAfterSeconds { get; }
}

/// <summary>The deployment has failed or is being removed, so that nothing can run the request. Over HTTP: 503.</summary>
public sealed class DeploymentUnavailableException : Exception
{
    /// <param name="message">For the caller.</param>
    /// <param name="refusedBy">The deployment that did not admit the request; not given where it is not known that no handler has run.</param>
    internal DeploymentUnavailableException(string message, object? refusedBy = null)
        : base(message) => RefusedBy = refusedBy;

    internal object? RefusedBy { get; }
}
