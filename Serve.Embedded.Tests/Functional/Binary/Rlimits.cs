using System.Runtime.InteropServices;

namespace Serve.Embedded.Tests.Functional.Binary;

/// <summary>Takes from a process that runs what it may open, and gives it back.</summary>
internal static unsafe partial class Rlimits
{
    private const int OpenFiles = 7;

    /// <summary>Until it is disposed of, the process can open nothing: what it has open stays.</summary>
    public static IDisposable NoDescriptors(int process)
    {
        ulong[] before = new ulong[2];
        ulong[] none = [0, 0];
        fixed (ulong* old = before)
        {
            Assert.Equal(0, Limit(process, OpenFiles, null, old));
            none[1] = before[1];
            fixed (ulong* now = none)
            {
                Assert.Equal(0, Limit(process, OpenFiles, now, null));
            }
        }

        return new Restore(process, before);
    }

    [LibraryImport("libc", EntryPoint = "prlimit")]
    private static partial int Limit(int process, int resource, ulong* limit, ulong* old);

    private sealed class Restore(int process, ulong[] limit) : IDisposable
    {
        public void Dispose()
        {
            fixed (ulong* now = limit)
            {
                // It may have ended.
                _ = Limit(process, OpenFiles, now, null);
            }
        }
    }
}
