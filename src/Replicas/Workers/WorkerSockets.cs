using System.Text;
using Serve.Embedded.Config;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>The folder for workers' sockets, mode 0700: below <c>$RUNTIME_DIRECTORY</c>, else <c>$XDG_RUNTIME_DIR</c>, else that for temporary files. Made when it is first needed, and gone with the server; what a killed one has left goes with the next one.</summary>
internal sealed class WorkerSockets(Func<string, string?> environment) : IDisposable
{
    private const string Prefix = "serve-";

    private readonly Lock _gate = new();
    private string? _folder;
    private int _sockets;

    /// <exception cref="WorkerStartException">It cannot be made.</exception>
    public string Folder
    {
        get
        {
            lock (_gate)
            {
                return _folder ??= Create();
            }
        }
    }

    /// <summary>A path that no other worker has.</summary>
    /// <exception cref="WorkerStartException">There is no place for it.</exception>
    public string Next()
    {
        string path = Path.Combine(Folder, $"w{Interlocked.Increment(ref _sockets)}");
        return Encoding.UTF8.GetByteCount(path) <= WorkerStrings.MostBytesOfSocket
            ? path
            : throw new WorkerStartException($"The path of the worker's socket, {path}, is longer than {WorkerStrings.MostBytesOfSocket} bytes, the most that a socket may have. Set RUNTIME_DIRECTORY to a folder with a shorter path.");
    }

    /// <summary>Takes away what a worker has left.</summary>
    public void Remove(string path)
    {
        lock (_gate)
        {
            if (_folder is not null)
            {
                File.Delete(path);
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_folder is not null)
            {
                TryDelete(_folder);
                _folder = null;
            }
        }
    }

    private string Create()
    {
        string? given = environment("RUNTIME_DIRECTORY")?.Split(':')[0];
        string? parent = !string.IsNullOrEmpty(given) ? given : environment("XDG_RUNTIME_DIR");
        parent = string.IsNullOrEmpty(parent) ? Path.GetTempPath() : parent;
        RemoveLeftBehind(parent);
        string folder = Path.Combine(parent, $"{Prefix}{Environment.ProcessId}-{Guid.NewGuid().ToString("N")[..8]}");
        try
        {
            return OperatingSystem.IsWindows()
                ? Directory.CreateDirectory(folder).FullName
                : Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute).FullName;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new WorkerStartException($"The folder for workers' sockets, {folder}, cannot be made: {exception.Message.TrimEnd('.')}. Set RUNTIME_DIRECTORY to a folder that the server may write to.");
        }
    }

    /// <summary>A server that was killed leaves its folder. Its name says whose it was.</summary>
    private static void RemoveLeftBehind(string parent)
    {
        if (!Directory.Exists("/proc/self") || !Directory.Exists(parent))
        {
            return;
        }

        foreach (string folder in Directory.EnumerateDirectories(parent, $"{Prefix}*-????????"))
        {
            string[] parts = Path.GetFileName(folder).Split('-');
            if (parts.Length == 3 && int.TryParse(parts[1], out int processId) && !Directory.Exists($"/proc/{processId}"))
            {
                TryDelete(folder);
            }
        }
    }

    private static void TryDelete(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Somebody else's, or gone already.
        }
    }
}
