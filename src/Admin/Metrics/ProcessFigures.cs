using System.Diagnostics;
using System.Globalization;

namespace Serve.Embedded.Admin.Metrics;

/// <summary>What every client library of Prometheus tells of its process, under the names that they have agreed on. What the system does not say is left out.</summary>
internal static class ProcessFigures
{
    private const string Descriptors = "/proc/self/fd";

    public static void Write(PrometheusText text)
    {
        using Process process = Process.GetCurrentProcess();
        One(text, "process_cpu_seconds_total", "counter", "Processor time that the process has used.", process.TotalProcessorTime.TotalSeconds);
        One(text, "process_resident_memory_bytes", "gauge", "Memory of the process that is in RAM.", process.WorkingSet64);
        One(text, "process_virtual_memory_bytes", "gauge", "Addresses that the process has reserved.", process.VirtualMemorySize64);
        One(text, "process_start_time_seconds", "gauge", "When the process began, since 1970.", new DateTimeOffset(process.StartTime).ToUnixTimeMilliseconds() / 1000.0);
        if (Directory.Exists(Descriptors))
        {
            // One of them is that of this look.
            One(text, "process_open_fds", "gauge", "Descriptors that are open.", Directory.EnumerateFileSystemEntries(Descriptors).Count() - 1);
            if (MostDescriptors() is { } most)
            {
                One(text, "process_max_fds", "gauge", "Descriptors that may be open.", most);
            }
        }
    }

    private static void One(PrometheusText text, string name, string type, string help, double value)
    {
        text.Family(name, type, help);
        text.Sample(name, value);
    }

    private static double? MostDescriptors()
    {
        string? line = File.ReadLines("/proc/self/limits").FirstOrDefault(static l => l.StartsWith("Max open files", StringComparison.Ordinal));
        return line?.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, _, _, var soft, ..]
            ? long.TryParse(soft, CultureInfo.InvariantCulture, out long most) ? most : double.PositiveInfinity
            : null;
    }
}
