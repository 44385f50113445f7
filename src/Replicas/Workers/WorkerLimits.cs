using System.Globalization;
using System.Runtime.InteropServices;
using Serve.Embedded.Config;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What a worker may use of the box. Null means as the server.</summary>
internal sealed partial record WorkerLimits
{
    public static readonly WorkerLimits None = new();

    private const long Mebibyte = 1024 * 1024;
    private const int NotPermitted = 1;
    private const int PriorityOfProcess = 0;
    private const int CoreLimit = 4;
    private const int ProcessesLimit = 6;
    private const int OpenFilesLimit = 7;
    private const int LockedMemoryLimit = 8;
    private const int AddressSpaceLimit = 9;
    private const int BitsPerWord = 64;

    /// <summary>Microseconds; the kernel's own default.</summary>
    private const int CpuPeriod = 100_000;

    /// <summary>-20, the first to run, to 19, the last.</summary>
    public int? Nice { get; init; }

    /// <summary>Numbers of processors.</summary>
    public IReadOnlyList<int>? CpuAffinity { get; init; }

    /// <summary>Open descriptors (RLIMIT_NOFILE).</summary>
    public long? OpenFiles { get; init; }

    public RlimitsConfig Rlimits { get; init; } = new();

    /// <summary>MiB, of it and its descendants together.</summary>
    public int? MemoryMaxMb { get; init; }

    /// <summary>Processors, of it and its descendants together.</summary>
    public double? CpuMax { get; init; }

    /// <summary>What its control group is to hold it to: the key as it is written, the controller that does it, and with what.</summary>
    public IEnumerable<(string Key, string Controller, IEnumerable<(string File, string Value)> Settings)> InControlGroup
    {
        get
        {
            if (MemoryMaxMb is { } mebibytes)
            {
                // One whose part was killed is no worker any more: all of it goes.
                yield return ($"memory_max_mb = {mebibytes}", "memory", [("memory.max", Text(mebibytes * Mebibyte)), ("memory.oom.group", "1")]);
            }

            if (CpuMax is { } processors)
            {
                yield return (string.Create(CultureInfo.InvariantCulture, $"cpu_max = {processors}"), "cpu", [("cpu.max", $"{Text((long)(processors * CpuPeriod))} {Text(CpuPeriod)}")]);
            }
        }
    }

    private IEnumerable<Rlimit> AllRlimits =>
    [
        new(OpenFilesLimit, "max_open_files", OpenFiles, 1, 'n', "LimitNOFILE"),
        new(CoreLimit, "rlimits.core_mb", Rlimits.CoreMb, Mebibyte, 'c', "LimitCORE"),
        new(AddressSpaceLimit, "rlimits.address_space_mb", Rlimits.AddressSpaceMb, Mebibyte, 'v', "LimitAS"),
        new(LockedMemoryLimit, "rlimits.locked_memory_mb", Rlimits.LockedMemoryMb, Mebibyte, 'l', "LimitMEMLOCK"),
        new(ProcessesLimit, "rlimits.processes", Rlimits.Processes, 1, 'u', "LimitNPROC"),
    ];

    /// <summary>
    /// Applies those that are a process's own. Its children to come have them too.
    /// </summary>
    /// <returns>What the system did not grant, each in words.</returns>
    public IReadOnlyList<string> Apply(int processId)
    {
        List<string> refused = [];
        if (Nice is { } nice && SetPriority(PriorityOfProcess, (uint)processId, nice) != 0)
        {
            refused.Add($"nice = {nice} is refused: {LastError()}. {RemedyOf(Marshal.GetLastPInvokeError(), "A priority above the server's own needs CAP_SYS_NICE, or LimitNICE= in the server's unit.")}");
        }

        foreach (Rlimit limit in AllRlimits)
        {
            if (limit.Value is { } value && SetLimit(processId, limit.Resource, [limit.Raw(value), limit.Raw(value)], 0) != 0)
            {
                refused.Add($"{limit.Key} = {value} is refused: {LastError()}. It must not be above the server's own hard limit: raise that (ulimit -H{limit.Option}, or {limit.UnitKey}= in its unit), or write less.");
            }
        }

        if (CpuAffinity is { } processors)
        {
            ulong[] mask = new ulong[(processors.Max() / BitsPerWord) + 1];
            foreach (int processor in processors)
            {
                mask[processor / BitsPerWord] |= 1UL << (processor % BitsPerWord);
            }

            if (SetAffinity(processId, mask.Length * sizeof(ulong), mask) != 0)
            {
                refused.Add($"cpu_affinity = [{string.Join(", ", processors)}] is refused: {LastError()}. {RemedyOf(Marshal.GetLastPInvokeError(), $"None of them is a processor that the server may use (taskset -p {Environment.ProcessId} shows those).")}");
            }
        }

        return refused;
    }

    /// <summary>A process of the server's own user can be moved, unless a filter of system calls is in the way: the kernel itself says no with other errors.</summary>
    /// <param name="error">The system's number.</param>
    /// <param name="usual">What is wrong where it is the kernel that says no.</param>
    internal static string RemedyOf(int error, string usual) => error == NotPermitted
        ? "A filter of system calls keeps the server from it: under systemd its SystemCallFilter= must let @resources through."
        : usual;

    private static string LastError() => Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    [LibraryImport("libc", EntryPoint = "setpriority", SetLastError = true)]
    private static partial int SetPriority(int which, uint who, int priority);

    [LibraryImport("libc", EntryPoint = "prlimit", SetLastError = true)]
    private static partial int SetLimit(int processId, int resource, [In] ulong[] limits, nint old);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SetAffinity(int processId, nint size, [In] ulong[] mask);

    /// <param name="Resource">The kernel's number for it.</param>
    /// <param name="Key">As an operator writes it.</param>
    /// <param name="Value">As it is written.</param>
    /// <param name="Unit">What of the kernel's is one of the operator's.</param>
    /// <param name="Option">The shell's letter for it.</param>
    /// <param name="UnitKey">systemd's key for it.</param>
    private readonly record struct Rlimit(int Resource, string Key, long? Value, long Unit, char Option, string UnitKey)
    {
        public ulong Raw(long value) => value == RlimitsConfig.Unlimited ? ulong.MaxValue : (ulong)(value * Unit);
    }
}
