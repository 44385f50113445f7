using System.Runtime.InteropServices;

namespace Serve.Embedded.Hosting;

/// <summary>
/// A process that was started under <c>nohup</c> or in the background of a script inherits "ignore" for SIGHUP or SIGINT, and .NET leaves an
/// ignored signal ignored. Ours have a meaning whatever the parent thought, so their disposition is set back before handlers are registered.
/// </summary>
internal static partial class SignalDispositions
{
    private const int Hangup = 1;
    private const int Interrupt = 2;
    private const int Terminate = 15;
    private const int FileSizeExceeded = 25;
    private const nint Default = 0;
    private const nint Ignore = 1;

    public static void Set()
    {
        if (!OperatingSystem.IsWindows())
        {
            Signal(Hangup, Default);
            Signal(Interrupt, Default);
            Signal(Terminate, Default);

            // A file that may not grow is a full disk, which is a warning: the write fails, and the process need not end. Workers start with all defaults.
            Signal(FileSizeExceeded, Ignore);
        }
    }

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint Signal(int number, nint handler);
}
