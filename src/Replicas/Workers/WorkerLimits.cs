using System.Runtime.InteropServices;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What a worker may use of the box. Null means as the server.</summary>
internal sealed partial record WorkerLimits
{
    public static readonly WorkerLimits None = new();

    private const int PriorityOfProcess = 0;
    private const int OpenFilesLimit = 7;
    private const int BitsPerWord = 64;

    /// <summary>-20, the first to run, to 19, the last.</summary>
    public int? Nice { get; init; }

    /// <summary>Numbers of processors.</summary>
    public IReadOnlyList<int>? CpuAffinity { get; init; }

    /// <summary>Open descriptors (RLIMIT_NOFILE).</summary>
    public long? OpenFiles { get; init; }

    /// <summary>
    /// Applies them to a process that has just been started. Its children have them too, but for one that it has started before this: the process has hardly begun its first instructions by then.
    /// </summary>
    /// <returns>What the system did not grant, in words; <see langword="null"/> = all is in force.</returns>
    public string? Apply(int processId)
    {
        if (Nice is { } nice && SetPriority(PriorityOfProcess, (uint)processId, nice) != 0)
        {
            return $"nice = {nice} is refused: {LastError()}. A priority above the server's own needs CAP_SYS_NICE.";
        }

        if (OpenFiles is { } files && SetLimit(processId, OpenFilesLimit, [(ulong)files, (ulong)files], 0) != 0)
        {
            return $"max_open_files = {files} is refused: {LastError()}. It must not be above the server's own limit.";
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
                return $"cpu_affinity = [{string.Join(", ", processors)}] is refused: {LastError()}. None of them is a processor that the server may use.";
            }
        }

        return null;
    }

    private static string LastError() => Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());

    [LibraryImport("libc", EntryPoint = "setpriority", SetLastError = true)]
    private static partial int SetPriority(int which, uint who, int priority);

    [LibraryImport("libc", EntryPoint = "prlimit", SetLastError = true)]
    private static partial int SetLimit(int processId, int resource, [In] ulong[] limits, nint old);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SetAffinity(int processId, nint size, [In] ulong[] mask);
}
