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

    public static void SetDefault()
    {
        if (!OperatingSystem.IsWindows())
        {
            Signal(Hangup, 0);
            Signal(Interrupt, 0);
            Signal(Terminate, 0);
        }
    }

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint Signal(int number, nint handler);
}
