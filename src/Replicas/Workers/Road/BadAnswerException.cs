namespace Serve.Embedded.Replicas.Workers;

/// <summary>A worker's bytes are no HTTP/1.1 response. The message completes "The worker's answer is not valid HTTP/1.1: ...".</summary>
internal sealed class BadAnswerException(string message) : Exception(message);
