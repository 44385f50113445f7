namespace Serve.Embedded.Replicas.Workers;

/// <summary>A worker did not answer, or not as HTTP asks. The message is fit for the body of a 502.</summary>
internal sealed class WorkerFailedException : Exception
{
    public WorkerFailedException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }

    /// <summary>The connection could not be made, or no byte of the request was written: nobody can have worked on it.</summary>
    public bool NothingSent { get; init; }

    /// <summary>Nothing of an answer came, and the request's body is untouched or wholly kept: the same request can be sent to another worker.</summary>
    public bool CanRepeat { get; init; }

    /// <summary>It says nothing of the worker: the server had no descriptor to ask it.</summary>
    public bool ServerIsShort { get; init; }

    /// <summary>The worker does not take connections any more: until it is taken out, the next attempt should not be its.</summary>
    public bool WorkerIsGone { get; set; }
}
