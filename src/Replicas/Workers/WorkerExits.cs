namespace Serve.Embedded.Replicas.Workers;

/// <summary>Reads what wait gives.</summary>
internal static class WorkerExits
{
    public static WorkerExit Of(int? status, OutOfMemory outOfMemory = OutOfMemory.No, bool stopped = false) => status switch
    {
        null => new(null, null, OutOfMemory.No, stopped),
        { } raw when (raw & 0x7f) == 0 => new((raw >> 8) & 0xff, null, OutOfMemory.No, stopped),
        { } raw => new(null, raw & 0x7f, outOfMemory, stopped),
    };
}
