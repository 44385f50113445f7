namespace Serve.Embedded.Replicas.Workers;

/// <summary>How a worker process ended.</summary>
/// <param name="ExitCode">Null when a signal ended it, or when nobody knows.</param>
/// <param name="Signal">Null when it ended by itself, or when nobody knows.</param>
/// <param name="Stopped">The server had asked it to end.</param>
internal sealed record WorkerExit(int? ExitCode, int? Signal, bool Stopped = false)
{
    /// <summary>Reads what wait gives; null = nobody knows.</summary>
    public static WorkerExit Of(int? status, bool stopped = false) => status switch
    {
        null => new(null, null, stopped),
        { } raw when (raw & 0x7f) == 0 => new((raw >> 8) & 0xff, null, stopped),
        { } raw => new(null, raw & 0x7f, stopped),
    };

    /// <summary>For a sentence that begins with the worker: "ended with ...".</summary>
    public override string ToString() => this switch
    {
        { Signal: { } signal } => $"signal {signal} ({SignalNames.Of(signal)})",
        { ExitCode: { } code } => $"exit code {code}",
        _ => "an unknown exit status, since another part of this process took it",
    };
}
