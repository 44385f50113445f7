using System.Numerics;
using System.Runtime.InteropServices;

namespace Serve.Embedded.Replicas;

/// <summary>The processors that this process may use.</summary>
internal static unsafe partial class OwnProcessors
{
    private const int MostProcessors = 1024;

    /// <summary>There are several, and all of their time: no quota, of which a thread that only looks for something to do would take what others need.</summary>
    public static bool AreToSpare { get; } = AreToSpareOf(Environment.ProcessorCount, CountAllowed(), MachineResources.Read().Cpus);

    /// <param name="used">As many as the runtime uses: what the quota comes to, rounded up, or what its operator has told it.</param>
    /// <param name="allowed">Those it may run on, whatever the quota.</param>
    /// <param name="time">Of how many it may have the time.</param>
    public static bool AreToSpareOf(int used, int allowed, double time) => used > 1 && used == allowed && time >= allowed;

    /// <summary>Those it may run on, whatever the quota; 0 where that is not known.</summary>
    private static int CountAllowed()
    {
        if (!OperatingSystem.IsLinux())
        {
            return 0;
        }

        ulong* mask = stackalloc ulong[MostProcessors / 64];
        Span<ulong> words = new(mask, MostProcessors / 64);
        words.Clear();
        int count = 0;
        if (GetAffinity(process: 0, MostProcessors / 8, mask) == 0)
        {
            foreach (ulong word in words)
            {
                count += BitOperations.PopCount(word);
            }
        }

        return count;
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int GetAffinity(int process, nint size, ulong* mask);
}
