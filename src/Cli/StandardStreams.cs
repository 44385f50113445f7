using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Cli;

/// <summary>
/// A process may be started with its standard streams closed. The next files and connections that it opens would take their numbers, and be sent what was meant for
/// a terminal: a client's connection would get log lines. So the numbers are taken first.
/// </summary>
internal static class StandardStreams
{
    private const int StandardError = 2;

    public static void Occupy()
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        try
        {
            while (true)
            {
                SafeFileHandle handle = File.OpenHandle("/dev/null", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
                if (handle.DangerousGetHandle() > StandardError)
                {
                    handle.Dispose();
                    return;
                }

                // For as long as the process lives.
                handle.SetHandleAsInvalid();
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A box without /dev/null has other worries.
        }
    }
}
