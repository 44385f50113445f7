namespace Serve.Embedded.Replicas.Workers;

internal enum OutOfMemory
{
    No,

    /// <summary>The kernel killed some process for memory while the worker ran, and the worker died as such a process does.</summary>
    Probably,

    /// <summary>The worker's control group says so.</summary>
    Yes,
}
