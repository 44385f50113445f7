namespace Serve.Embedded;

/// <summary>The request was refused because the deployment's queue is full, or because it waited longer than <c>max_queue_wait_s</c>. Over HTTP: 503 or 429 with <c>Retry-After</c>.</summary>
public sealed class BackPressureException : Exception
{
    /// <summary>A refusal, such as a test's. A handler may also throw one of its own: over HTTP it is answered like any other.</summary>
    /// <param name="message">For the caller.</param>
    /// <param name="statusCode">See <see cref="StatusCode"/>.</param>
    /// <param name="retryAfterSeconds">See <see cref="RetryAfterSeconds"/>.</param>
    public BackPressureException(string message, int statusCode = 503, int retryAfterSeconds = 1)
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
    /// <summary>What a deployment that cannot be reached throws, such as a test's.</summary>
    /// <param name="message">For the caller.</param>
    public DeploymentUnavailableException(string message)
        : this(message, refusedBy: null)
    {
    }

    /// <param name="message">For the caller.</param>
    /// <param name="refusedBy">The deployment that did not admit the request; not given where it is not known that no handler has run.</param>
    internal DeploymentUnavailableException(string message, object? refusedBy)
        : base(message) => RefusedBy = refusedBy;

    internal object? RefusedBy { get; }
}
