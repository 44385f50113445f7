using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>One line that a worker wrote, without its end.</summary>
/// <param name="Text">Valid, and without control characters except tabs.</param>
/// <param name="IsError">It came from stderr.</param>
/// <param name="IsNotice">The worker did not write it: it says what of the worker's output was left out.</param>
/// <param name="Level">How important the worker says that it is.</param>
internal readonly record struct WorkerLine(string Text, bool IsError, bool IsNotice = false, LogLevel Level = LogLevel.Information);
