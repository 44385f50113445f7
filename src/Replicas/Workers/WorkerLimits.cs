namespace Serve.Embedded.Replicas.Workers;

/// <summary>What a worker may use of the box. Null means as the server.</summary>
internal sealed record WorkerLimits
{
    public static readonly WorkerLimits None = new();

    /// <summary>-20, the first to run, to 19, the last.</summary>
    public int? Nice { get; init; }

    /// <summary>Numbers of processors.</summary>
    public IReadOnlyList<int>? CpuAffinity { get; init; }

    /// <summary>Open descriptors (RLIMIT_NOFILE).</summary>
    public long? OpenFiles { get; init; }

    /// <summary>Address space of each process, in MiB (RLIMIT_AS).</summary>
    public long? AddressSpaceMb { get; init; }

    /// <summary>Largest core file, in MiB (RLIMIT_CORE); 0 means none.</summary>
    public long? CoreFileMb { get; init; }

    /// <summary>Memory of the worker and all its descendants, in MiB: the control group's memory.max.</summary>
    public long? MemoryMaxMb { get; init; }

    /// <summary>Processors' worth of time of the worker and all its descendants, such as 1.5: the control group's cpu.max.</summary>
    public double? CpuMax { get; init; }

    public bool NeedControlGroup => MemoryMaxMb is not null || CpuMax is not null;
}
