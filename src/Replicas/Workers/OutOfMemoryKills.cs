using System.Globalization;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>The kernel's count of processes that it has killed for want of memory: on the whole machine, which does not say whom, or in one control group.</summary>
internal static class OutOfMemoryKills
{
    public const string OfMachine = "/proc/vmstat";

    /// <summary><see langword="null"/> where the kernel does not tell.</summary>
    /// <param name="file">Lines of a name, a space and a number.</param>
    public static long? Count(string file)
    {
        try
        {
            return Parse(File.ReadAllText(file));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public static long? Parse(string text)
    {
        const string Name = "oom_kill ";
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            if (line.StartsWith(Name, StringComparison.Ordinal) && long.TryParse(line[Name.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out long count))
            {
                return count;
            }
        }

        return null;
    }
}
