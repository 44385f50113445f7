using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What .NET has no call for. Linux only; the numbers are the same on x64 and arm64.</summary>
internal static unsafe partial class NativeProcess
{
    private const int Interrupted = 4;
    private const int NoChild = 10;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int ExecuteAccess = 1;
    private const int EffectiveIds = 0x200;
    private const int CurrentDirectory = -100;
    private const int ByPid = 1;
    private const int SetStatusFlags = 4;
    private const int NoHang = 1;
    private const int Exited = 4;
    private const int LeaveWaitable = 0x1000000;

    /// <summary>A pipe that no other program inherits.</summary>
    /// <param name="writeNeverBlocks">A write into a full pipe fails instead of waiting.</param>
    public static (SafePipeHandle Read, SafeFileHandle Write) CreatePipe(bool writeNeverBlocks = false)
    {
        int* ends = stackalloc int[2];
        if (Pipe(ends, CloseOnExec) != 0)
        {
            throw new WorkerStartException($"No pipe can be made to another process: {Shortage.Of(Marshal.GetLastPInvokeError()) ?? Marshal.GetLastPInvokeErrorMessage()}");
        }

        SafePipeHandle read = new(ends[0], ownsHandle: true);
        SafeFileHandle write = new(ends[1], ownsHandle: true);
        if (writeNeverBlocks)
        {
            SetStatus(write, SetStatusFlags, NonBlocking);
        }

        return (read, write);
    }

    /// <summary>False when the other end is closed, or the pipe is full and its writes never block.</summary>
    public static bool WriteAll(SafeFileHandle pipe, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            nint written = Write(pipe, bytes, bytes.Length);
            if (written >= 0)
            {
                bytes = bytes[(int)written..];
            }
            else if (Marshal.GetLastPInvokeError() != Interrupted)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>False when a process of that number, or of that group if it is negative, is not there or is somebody else's.</summary>
    public static bool Signal(int process, int signal) => Kill(process, signal) == 0;

    public static bool MayExecute(string path) => Access(CurrentDirectory, path, ExecuteAccess, EffectiveIds) == 0;

    /// <summary>Whether a child has ended; it stays a zombie, and its number its own, until <see cref="Reap"/>.
    /// Gone is a child that cannot be waited for, since somebody else has done so.</summary>
    public static bool HasEnded(int child, out bool gone)
    {
        // siginfo_t: 128 bytes that begin with the signal's number, which stays 0 while there is nothing to tell.
        int* information = stackalloc int[32];
        new Span<int>(information, 32).Clear();
        int result;
        do
        {
            result = WaitId(ByPid, child, information, Exited | NoHang | LeaveWaitable);
        }
        while (result != 0 && Marshal.GetLastPInvokeError() == Interrupted);

        gone = result != 0 && Marshal.GetLastPInvokeError() == NoChild;
        return result == 0 && information[0] != 0;
    }

    /// <summary>Takes the status of a child that has ended; null when somebody else took it.</summary>
    public static int? Reap(int child)
    {
        int status;
        int result;
        do
        {
            result = WaitPid(child, &status, 0);
        }
        while (result < 0 && Marshal.GetLastPInvokeError() == Interrupted);

        return result == child ? status : null;
    }

    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    private static partial int Pipe(int* ends, int flags);

    // fcntl takes its third argument as variable ones are taken, which on Linux is no different for an integer.
    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int SetStatus(SafeFileHandle handle, int command, int flags);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(SafeFileHandle handle, ReadOnlySpan<byte> bytes, nint count);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);

    [LibraryImport("libc", EntryPoint = "faccessat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Access(int directory, string path, int mode, int flags);

    [LibraryImport("libc", EntryPoint = "waitid", SetLastError = true)]
    private static partial int WaitId(int kind, int id, void* information, int options);

    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    private static partial int WaitPid(int process, int* status, int options);
}
