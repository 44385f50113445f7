using System.Runtime.InteropServices;

namespace Serve.Embedded.Tests.Replicas.Workers;

internal static partial class Descriptors
{
    private const int SetFlags = 2;

    public static int KeepOnExec(int descriptor) => SetDescriptor(descriptor, SetFlags, 0);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int SetDescriptor(int descriptor, int command, int flags);
}
