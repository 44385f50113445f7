namespace Serve.Embedded.Hosting;

/// <summary>The server cannot start, in words for the operator: what, where, and what to do.</summary>
internal sealed class StartException(string message, Exception? inner = null) : Exception(message, inner);
