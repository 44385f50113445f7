namespace Serve.Embedded.Replicas.Workers;

/// <summary>How a worker process ended.</summary>
/// <param name="ExitCode">Null when a signal ended it, or when nobody knows.</param>
/// <param name="Signal">Null when it ended by itself, or when nobody knows.</param>
/// <param name="OutOfMemory">Whether the kernel killed it for its memory.</param>
/// <param name="Stopped">The server had asked it to end.</param>
internal sealed record WorkerExit(int? ExitCode, int? Signal, OutOfMemory OutOfMemory = OutOfMemory.No, bool Stopped = false)
{
    /// <summary>For a sentence that begins with the worker: "ended with ...".</summary>
    public override string ToString() => this switch
    {
        { OutOfMemory: OutOfMemory.Yes } => "killed by the kernel, out of memory",
        { OutOfMemory: OutOfMemory.Probably } => $"signal {Signal} ({SignalNames.Of(Signal!.Value)}), probably out of memory",
        { Signal: { } signal } => $"signal {signal} ({SignalNames.Of(signal)})",
        { ExitCode: { } code } => $"exit code {code}",
        _ => "an unknown exit status, since another part of this process took it",
    };
}
