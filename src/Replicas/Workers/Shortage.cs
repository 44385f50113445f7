using System.Net.Sockets;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>What the system has run out of, for this process or for all: it passes, so that what failed for it is tried again.</summary>
internal static class Shortage
{
    private const int TryAgain = 11;
    private const int NoMemory = 12;
    private const int SystemFiles = 23;
    private const int ProcessFiles = 24;

    /// <summary>Whether that is why a file could not be opened or read.</summary>
    public static bool Is(Exception exception) => exception is IOException && exception.HResult is NoMemory or SystemFiles or ProcessFiles;

    /// <summary>What is missing and what to do where a socket could not be had; <see langword="null"/> = it is no shortage. (The runtime does not say whether it is the process's or the system's.)</summary>
    public static string? Of(SocketException exception) => exception.SocketErrorCode == SocketError.TooManyOpenSockets ? Of(ProcessFiles) : null;

    /// <summary>What is missing and what to do, for the system's number of an error; <see langword="null"/> = it is no shortage.</summary>
    public static string? Of(int error) => error switch
    {
        TryAgain => "the limit of processes is reached (ulimit -u, TasksMax= of the unit, or pids.max of the container). Raise it, or run fewer replicas",
        NoMemory => "the system has no memory left for another process",
        SystemFiles => "the system can have no more files open. Raise its limit (sysctl fs.file-max)",
        ProcessFiles => "the server can have no more files and connections open. Raise its limit of them (ulimit -n, or LimitNOFILE= in its unit), or lower http_options.max_connections",
        _ => null,
    };
}
