using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Controller.Generations;

/// <summary>
/// fsync of a directory, which .NET has no call for. Only on Linux, the system that this server is made for: elsewhere the constants differ and what a flushed directory promises does too
/// (Windows journals names by itself), so it does nothing there and a generation may be lost with the power.
/// </summary>
internal static partial class DirectoryFlush
{
    // The same numbers on x64 and arm64.
    private const int ReadOnly = 0;
    private const int CloseOnExec = 0x80000;

    private const int Interrupted = 4;
    private const int NoEntry = 2;
    private const int Access = 13;
    private const int Invalid = 22;
    private const int NotSupported = 95;

    /// <exception cref="IOException">It failed.</exception>
    public static void Flush(string directory)
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        using SafeFileHandle handle = OpenToRead(directory);
        while (Sync(handle) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            switch (error)
            {
                case Interrupted:
                    continue;
                case Invalid or NotSupported:
                    // A file system of the network or of user space that has nothing to flush for a folder.
                    return;
                default:
                    throw Failed("flush", directory, error);
            }
        }
    }

    /// <summary>A plain open, for directories too, and without the lock that .NET takes on what it opens. Only on Linux.</summary>
    /// <exception cref="IOException">It failed.</exception>
    public static SafeFileHandle OpenToRead(string path)
    {
        while (true)
        {
            int descriptor = Open(path, ReadOnly | CloseOnExec);
            if (descriptor >= 0)
            {
                return new(descriptor, ownsHandle: true);
            }

            int error = Marshal.GetLastPInvokeError();
            if (error != Interrupted)
            {
                throw Failed("open", path, error);
            }
        }
    }

    private static Exception Failed(string what, string path, int error)
    {
        string message = $"Cannot {what} {path}: {Marshal.GetPInvokeErrorMessage(error)}";
        return error switch
        {
            Access => new UnauthorizedAccessException(message),
            NoEntry => new FileNotFoundException(message),
            _ => new IOException(message, error),
        };
    }

    // The third argument of open is only for files that it creates.
    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(SafeFileHandle handle);
}
