namespace Serve.Embedded.Replicas.Workers;

/// <summary>How a worker process ended.</summary>
/// <param name="ExitCode">Null when a signal ended it, or when nobody knows.</param>
/// <param name="Signal">Null when it ended by itself, or when nobody knows.</param>
/// <param name="Stopped">The server had asked it to end.</param>
/// <param name="OutOfMemory">Whether the kernel killed it for its memory.</param>
internal sealed record WorkerExit(int? ExitCode, int? Signal, bool Stopped = false, OutOfMemory OutOfMemory = OutOfMemory.No)
{
    /// <summary>Reads what wait gives; null = nobody knows. Only a SIGKILL can be the kernel's, and one that the server did not send.</summary>
    public static WorkerExit Of(int? status, bool stopped = false, OutOfMemory outOfMemory = OutOfMemory.No) => status switch
    {
        null => new(null, null, stopped),
        { } raw when (raw & 0x7f) == 0 => new((raw >> 8) & 0xff, null, stopped),
        { } raw => new(null, raw & 0x7f, stopped, (raw & 0x7f) == SignalNames.Kill && !stopped ? outOfMemory : OutOfMemory.No),
    };

    /// <summary>For a sentence that begins with the worker: "ended with ...".</summary>
    public override string ToString() => this switch
    {
        { Signal: { } signal } => $"signal {signal} ({SignalNames.Of(signal)}){Verdict}",
        { ExitCode: { } code } => $"exit code {code}",
        _ => "an unknown exit status, since another part of this process took it",
    };

    private string Verdict => OutOfMemory switch
    {
        OutOfMemory.Yes => ", out of memory: the kernel killed it",
        OutOfMemory.Probably => ", probably out of memory: the kernel killed some process for that at the time",
        _ => "",
    };
}

/// <summary>What is known of a death by want of memory.</summary>
internal enum OutOfMemory
{
    No,

    /// <summary>The kernel killed some process for its memory since the worker was last seen well, and the worker died as such a process does.</summary>
    Probably,

    /// <summary>The worker's control group says so.</summary>
    Yes,
}
