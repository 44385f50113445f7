using System.Globalization;

namespace Serve.Embedded.Replicas;

/// <summary>What the machine has for this process: less, where a cgroup (a container, a systemd unit) says so.</summary>
/// <param name="Cpus">Processors, maybe a part of one.</param>
/// <param name="MemoryMb">Memory in MiB; <see langword="null"/> = it cannot be told here.</param>
internal sealed record MachineResources(double Cpus, long? MemoryMb)
{
    private const long BytesPerMb = 1024 * 1024;

    private const string Cgroups = "/sys/fs/cgroup";

    /// <summary>Asks this machine.</summary>
    public static MachineResources Read() => Read(ReadFile, Environment.ProcessorCount);

    /// <param name="readFile">Gives a file's text; <see langword="null"/> = it is not there or cannot be read.</param>
    /// <param name="processors">Those that the runtime may use.</param>
    public static MachineResources Read(Func<string, string?> readFile, int processors)
    {
        double cpus = processors;
        long? memory = MemoryTotal(readFile("/proc/meminfo"));
        foreach ((string controllers, string path) in Groups(readFile("/proc/self/cgroup")))
        {
            bool isV2 = controllers.Length == 0;
            string[] names = controllers.Split(',');
            foreach (string folder in Folders(path))
            {
                if (isV2)
                {
                    cpus = Least(cpus, Quota(readFile($"{Cgroups}{folder}/cpu.max")));
                    memory = Least(memory, Number(readFile($"{Cgroups}{folder}/memory.max")));
                }

                if (names.Contains("cpu"))
                {
                    cpus = Least(cpus, Quota($"{readFile($"{Cgroups}/cpu{folder}/cpu.cfs_quota_us")} {readFile($"{Cgroups}/cpu{folder}/cpu.cfs_period_us")}"));
                }

                if (names.Contains("memory"))
                {
                    memory = Least(memory, Number(readFile($"{Cgroups}/memory{folder}/memory.limit_in_bytes")));
                }
            }
        }

        return new(cpus, memory / BytesPerMb);
    }

    private static string? ReadFile(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            return null;
        }
    }

    /// <summary>The process's groups, each with its controllers: none for version 2, in which there is one for all.</summary>
    private static IEnumerable<(string Controllers, string Path)> Groups(string? text)
    {
        foreach (string line in (text ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] parts = line.Split(':', 3);
            if (parts.Length == 3)
            {
                yield return (parts[1], parts[2].Trim());
            }
        }
    }

    /// <summary>
    /// The group's folder and those above it, whose limits hold too. In a container the path may be the host's, which is not there; then the top is the container's own group.
    /// </summary>
    private static IEnumerable<string> Folders(string path)
    {
        for (string folder = path.Contains("..", StringComparison.Ordinal) ? "" : path.TrimEnd('/'); folder.Length > 0; folder = folder[..Math.Max(0, folder.LastIndexOf('/'))])
        {
            yield return folder;
        }

        yield return "";
    }

    /// <summary>Quota and period in microseconds, as processors; <c>max</c> or -1 is no limit.</summary>
    private static double? Quota(string? text)
    {
        string[] parts = (text ?? "").Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return parts.Length == 2 && Number(parts[0]) is long quota and > 0 && Number(parts[1]) is long period and > 0 ? (double)quota / period : null;
    }

    private static long? MemoryTotal(string? meminfo)
    {
        foreach (string line in (meminfo ?? "").Split('\n'))
        {
            if (line.StartsWith("MemTotal:", StringComparison.Ordinal))
            {
                return Number(line["MemTotal:".Length..].Replace("kB", "", StringComparison.Ordinal)) * 1024;
            }
        }

        return null;
    }

    private static long? Number(string? text) => long.TryParse(text?.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? number : null;

    private static double Least(double known, double? other) => other < known ? other.Value : known;

    private static long? Least(long? known, long? other) => known is null || other < known ? other : known;
}
