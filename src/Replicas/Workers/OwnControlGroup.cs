using System.Runtime.InteropServices;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Finds the control group that this process is in, and whether it may make others below it.</summary>
internal static unsafe partial class OwnControlGroup
{
    private const string Unified = "0::";

    /// <summary>Where it is, or why there is none to work with.</summary>
    public static (string? Folder, string? WhyNone) Find()
    {
        try
        {
            return FolderOf(File.ReadAllText("/proc/self/cgroup"), File.ReadAllText("/proc/self/mountinfo")) is not { } folder
                ? (null, "the server sees no control group of its own, since no cgroup2 file system is mounted here that shows it")
                : IsSystemds(folder)
                ? (null, $"systemd keeps the server's control group {folder} to itself. Set Delegate=yes in the server's unit")
                : (folder, null);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return (null, $"the server sees no control group of its own: {exception.Message}");
        }
    }

    /// <summary>From what the kernel says of a process; <see langword="null"/> = it cannot be seen from here.</summary>
    /// <param name="cgroup">/proc/PID/cgroup.</param>
    /// <param name="mountinfo">/proc/PID/mountinfo.</param>
    public static string? FolderOf(string cgroup, string mountinfo)
    {
        string? path = cgroup.Split('\n').FirstOrDefault(l => l.StartsWith(Unified, StringComparison.Ordinal))?[Unified.Length..];
        foreach (string[] mount in mountinfo.Split('\n').Select(l => l.Split(' ')))
        {
            // ID PARENT DEVICE ROOT PLACE OPTIONS [MORE ...] - TYPE SOURCE OPTIONS
            int dash = Array.IndexOf(mount, "-");
            if (path is null || dash < 6 || mount[dash + 1] != "cgroup2")
            {
                continue;
            }

            string root = mount[3].TrimEnd('/');
            if (path == root || path.StartsWith($"{root}/", StringComparison.Ordinal))
            {
                return (mount[4].Replace("\\040", " ", StringComparison.Ordinal) + path[root.Length..]).TrimEnd('/');
            }
        }

        return null;
    }

    /// <summary>
    /// systemd alone may make control groups below those that it has not handed over. Root could all the same, and so must ask; nobody else can.
    /// </summary>
    private static bool IsSystemds(string folder)
    {
        if (!Environment.IsPrivilegedProcess || !Directory.Exists("/run/systemd/system"))
        {
            return false;
        }

        for (string? above = folder; above is not null; above = Path.GetDirectoryName(above))
        {
            if (HasMark(above, "user.delegate") || HasMark(above, "trusted.delegate"))
            {
                return false;
            }
        }

        return true;
    }

    private static bool HasMark(string folder, string name)
    {
        byte value = 0;
        return GetAttribute(folder, name, &value, sizeof(byte)) == sizeof(byte) && value == (byte)'1';
    }

    [LibraryImport("libc", EntryPoint = "getxattr", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetAttribute(string path, string name, byte* value, nint size);
}
