namespace Serve.Embedded.Replicas.Workers;

/// <summary>The code of a deployment cannot be read, so that to start it again changes nothing.</summary>
internal sealed class BuildFailedException(string message) : Exception(message);
