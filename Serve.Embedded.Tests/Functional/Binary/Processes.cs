using System.Globalization;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Processes, as the kernel lists them.</summary>
internal static class Processes
{
    public static IEnumerable<int> ChildrenOf(int parent) =>
        from folder in Directory.GetDirectories("/proc")
        let id = int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : 0
        where id != 0 && ParentOf(id) == parent
        select id;

    /// <summary>Those of them whose command line has this text.</summary>
    public static IEnumerable<int> ChildrenOf(int parent, string command) => ChildrenOf(parent).Where(id => Read(id, "cmdline").Contains(command, StringComparison.Ordinal));

    public static async Task AreGoneAsync(IReadOnlyCollection<int> processes, CancellationToken deadline)
    {
        while (processes.Any(id => ParentOf(id) is not null))
        {
            deadline.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    /// <summary><see langword="null"/> = there is no such process, or it is a zombie.</summary>
    private static int? ParentOf(int process)
    {
        // PID (NAME) STATE PARENT ..., and a name may have spaces and parentheses.
        string stat = Read(process, "stat");
        string[] rest = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return rest is [not "Z", { } parent, ..] ? int.Parse(parent, CultureInfo.InvariantCulture) : null;
    }

    private static string Read(int process, string file)
    {
        try
        {
            return File.ReadAllText($"/proc/{process}/{file}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
