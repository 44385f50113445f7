namespace Serve.Embedded.Replicas.Workers;

/// <summary>A worker could not be started. The message says what is missing or wrong, and what to do.</summary>
internal sealed class WorkerStartException(string message) : Exception(message);
