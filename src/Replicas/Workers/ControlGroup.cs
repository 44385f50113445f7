using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>A control group (cgroup v2): a folder in which the kernel keeps files to read and to command by. Nobody leaves it but by the will of who may write there.</summary>
internal sealed record ControlGroup(string Folder)
{
    private const string Members = "cgroup.procs";
    private const string MemoryEvents = "memory.events";

    /// <summary>Its own events of memory; <see langword="null"/> = its memory is not counted.</summary>
    public string? MemoryEventsFile => Path.Combine(Folder, MemoryEvents) is var file && File.Exists(file) ? file : null;

    /// <summary>Processes that are in it and in none below it.</summary>
    public IEnumerable<string> Processes => Read(Members);

    /// <exception cref="IOException">The system does not grant it.</exception>
    /// <exception cref="UnauthorizedAccessException">The system does not grant it.</exception>
    public static ControlGroup Create(string folder) => new(Directory.CreateDirectory(folder).FullName);

    /// <summary>The words of one of its files.</summary>
    public string[] Read(string file) => File.ReadAllText(Path.Combine(Folder, file)).Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Sets or commands something, in one write, as the kernel wants it.</summary>
    /// <exception cref="IOException">The system does not grant it.</exception>
    /// <exception cref="UnauthorizedAccessException">The system does not grant it.</exception>
    public void Write(string file, string text)
    {
        using SafeFileHandle handle = File.OpenHandle(Path.Combine(Folder, file), FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite);
        RandomAccess.Write(handle, Encoding.ASCII.GetBytes(text), fileOffset: 0);
    }

    /// <summary>Takes a process in; its children to come begin where it is.</summary>
    /// <exception cref="IOException">The system does not grant it.</exception>
    /// <exception cref="UnauthorizedAccessException">The system does not grant it.</exception>
    public void Take(string processId) => Write(Members, processId);

    /// <summary>Kills all who are in it or below it, at once, so that no fork escapes. Does nothing where the kernel is older than 5.14.</summary>
    /// <exception cref="IOException">There is a <see cref="Shortage"/>; later it can be done.</exception>
    public void Kill()
    {
        try
        {
            Write("cgroup.kill", "1");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException && !Shortage.Is(exception))
        {
            // It is gone, or the kernel is old: signals must do.
        }
    }

    /// <summary>Takes it away with all below it. <see langword="false"/> = somebody is in it still: who was killed takes an instant to be gone.</summary>
    public bool TryRemove()
    {
        try
        {
            foreach (string below in Directory.EnumerateDirectories(Folder))
            {
                new ControlGroup(below).TryRemove();
            }

            Directory.Delete(Folder);
            return true;
        }
        catch (DirectoryNotFoundException)
        {
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
