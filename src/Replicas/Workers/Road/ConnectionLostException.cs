namespace Serve.Embedded.Replicas.Workers;

/// <summary>A worker's connection ended where it must not. The message is a whole sentence.</summary>
internal sealed class ConnectionLostException(string message) : Exception(message);
