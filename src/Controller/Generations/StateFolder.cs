using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Controller.Generations;

/// <summary>A folder on a real disk, for this user alone: mode 0700, files 0600.</summary>
internal sealed class StateFolder(string path) : IStateFolder
{
    /// <summary>Held open and locked for as long as the server lives; the kernel gives the lock back however the process ends.</summary>
    public const string LockName = "lock";

    /// <summary>No generation is as large: the longest text of a configuration, escaped.</summary>
    private const int MostBytes = 128 << 20;

    private const UnixFileMode FolderMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode FileMode0600 = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private FileStream? _lock;

    public string Path => path;

    public void Open()
    {
        if (_lock is not null)
        {
            return;
        }

        Make(path);
        string lockPath = Full(LockName);
        FileStream file;
        try
        {
            // No sharing is flock(LOCK_EX | LOCK_NB).
            file = new(lockPath, Options(FileMode.OpenOrCreate, FileAccess.ReadWrite));
        }
        catch (IOException exception) when (IsHeld(exception))
        {
            throw new StateLockedException(
                $"Another server, {Holder(lockPath)}, keeps its generations in {path}. Stop that one first, or give this one another state_dir.");
        }

        _lock = file;
        try
        {
            file.SetLength(0);
            Write(file, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n")));
        }
        catch (IOException)
        {
            // The disk is full. The lock holds all the same; only its holder's name is not to be had.
        }
    }

    public IReadOnlyList<string> List() =>
        [.. Directory.EnumerateFileSystemEntries(path).Select(entry => System.IO.Path.GetFileName(entry)).Where(name => name != LockName)];

    public byte[] Read(string name)
    {
        using FileStream file = new(Full(name), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        if (file.Length > MostBytes)
        {
            throw new IOException($"it has {file.Length} bytes, more than any generation.");
        }

        byte[] bytes = new byte[file.Length];
        file.ReadExactly(bytes);
        return bytes;
    }

    public IStateFile Create(string name) => new OpenFile(new(Full(name), Options(FileMode.Create, FileAccess.Write)));

    public void Rename(string name, string newName) => File.Move(Full(name), Full(newName), overwrite: true);

    public void Delete(string name) => File.Delete(Full(name));

    public void Flush() => DirectoryFlush.Flush(path);

    public void Close()
    {
        // The file stays: to delete it would let a third server lock a new one while a second holds the old.
        _lock?.Dispose();
        _lock = null;
    }

    /// <summary>What the framework throws where the process may write no larger file (EFBIG) is no failure of a disk.</summary>
    private static void Write(FileStream file, ReadOnlySpan<byte> bytes)
    {
        try
        {
            file.Write(bytes);
        }
        catch (ArgumentOutOfRangeException exception)
        {
            throw new IOException($"The limit of file size (ulimit -f, LimitFSIZE=) is below what '{file.Name}' needs", exception);
        }
    }

    private static FileStreamOptions Options(FileMode mode, FileAccess access)
    {
        FileStreamOptions options = new() { Mode = mode, Access = access, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = FileMode0600;
        }

        return options;
    }

    /// <summary>Makes what is missing from the top down, and puts each new name on the disk: a file in a folder that the power takes away is gone.</summary>
    private static void Make(string folder)
    {
        if (Directory.Exists(folder))
        {
            return;
        }

        string? parent = System.IO.Path.GetDirectoryName(folder);
        if (parent is not null)
        {
            Make(parent);
        }

        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, FolderMode);
        }

        if (parent is not null)
        {
            DirectoryFlush.Flush(parent);
        }
    }

    /// <summary>A sharing violation is EWOULDBLOCK on Linux, 11, and on Windows 32.</summary>
    private static bool IsHeld(IOException exception) => exception.GetType() == typeof(IOException) && (exception.HResult & 0xFFFF) is 11 or 32 or 35;

    private static string Holder(string lockPath)
    {
        if (!OperatingSystem.IsLinux())
        {
            return "of unknown process id";
        }

        try
        {
            // Not through FileStream, which would want a shared lock.
            using SafeFileHandle file = DirectoryFlush.OpenToRead(lockPath);
            byte[] bytes = new byte[32];
            string pid = Encoding.ASCII.GetString(bytes, 0, RandomAccess.Read(file, bytes, 0)).Trim();
            return int.TryParse(pid, NumberStyles.None, CultureInfo.InvariantCulture, out _) ? $"process {pid}" : "of unknown process id";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return "of unknown process id";
        }
    }

    private string Full(string name) => System.IO.Path.Combine(path, name);

    private sealed class OpenFile(FileStream file) : IStateFile
    {
        public void Write(ReadOnlySpan<byte> bytes) => StateFolder.Write(file, bytes);

        public void Flush() => file.Flush(flushToDisk: true);

        public void Dispose() => file.Dispose();
    }
}
