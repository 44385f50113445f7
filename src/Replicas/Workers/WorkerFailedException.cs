namespace Serve.Embedded.Replicas.Workers;

/// <summary>A worker could not answer a request. Its message is what the client is told.</summary>
internal sealed class WorkerFailedException(string message, bool nothingSent, bool canRepeat, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>No byte of the request has reached the worker: another one may have it, whatever its method.</summary>
    public bool NothingSent => nothingSent;

    /// <summary>The request is still whole, and can be sent to another worker.</summary>
    public bool CanRepeat => canRepeat;
}
