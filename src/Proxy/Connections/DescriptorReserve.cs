using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Serve.Embedded.Proxy;

/// <summary>
/// The descriptors that clients leave to the server itself: it needs some to ask its workers how they are and to replace them, to take requests to them, to read its configuration, and to be asked on its admin port.
/// Linux gives the lowest number that is free, so that the number of a new descriptor says how many are taken at least.
/// </summary>
/// <param name="limit">How many the process may have.</param>
internal sealed partial class DescriptorReserve(Func<ulong> limit)
{
    private const int Share = 4;
    private const ulong Most = 128;
    private const int OpenFiles = 7;
    private const int DuplicateCloseOnExec = 1030;

    private int _first = First(limit());

    public DescriptorReserve()
        : this(SoftLimit)
    {
    }

    /// <summary>Whether a descriptor that was just given is one of them.</summary>
    public bool Has(Socket socket) => (int)socket.SafeHandle.DangerousGetHandle() >= Volatile.Read(ref _first);

    /// <summary>Whether the next descriptor would be one of them. It asks by taking one for a moment.</summary>
    public bool IsNext(Socket any)
    {
        Volatile.Write(ref _first, First(limit()));
        int next = Duplicate((int)any.SafeHandle.DangerousGetHandle(), DuplicateCloseOnExec, 0);
        if (next >= 0)
        {
            _ = Close(next);
        }

        return next < 0 || next >= _first;
    }

    private static int First(ulong limit) => (int)Math.Min(limit - Math.Min(limit / Share, Most), int.MaxValue);

    private static ulong SoftLimit()
    {
        ulong[] limits = new ulong[2];
        return GetLimit(OpenFiles, limits) == 0 ? limits[0] : ulong.MaxValue;
    }

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, [Out] ulong[] limits);

    // fcntl takes its third argument as variable ones are taken, which on Linux is no different for an integer.
    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Duplicate(int descriptor, int command, int from);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
