using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Serve.Embedded.Cli;

/// <summary>
/// A process may be started with its standard streams closed. The next files and connections that it opens would take their numbers, and be sent what was meant for
/// a terminal: a client's connection would get log lines. So the numbers are taken first.
/// </summary>
internal static partial class StandardStreams
{
    private const int StandardOutput = 1;
    private const int StandardError = 2;

    /// <summary>POLLERR and POLLHUP: the other end of a pipe is closed, a terminal has gone.</summary>
    private const short Gone = 0x18;

    /// <summary>Writing into a pipe that nobody reads is no failure: a command that shows something again and again would never end.</summary>
    public static bool OutputHasNoReader()
    {
        Polled output = new() { Descriptor = StandardOutput };
        return !OperatingSystem.IsWindows() && Poll(ref output, 1, 0) > 0 && (output.Happened & Gone) != 0;
    }

    /// <summary>Where the log goes. What cannot be written is told, and counted.</summary>
    public static Stream OpenError() => OperatingSystem.IsWindows() ? Console.OpenStandardError() : new DescriptorStream(StandardError);

    /// <summary>What commands write.</summary>
    public static TextWriter OutputWriter() => OperatingSystem.IsWindows() ? Console.Out : Writer(new DescriptorStream(StandardOutput, readerMayLeave: true));

    /// <summary>What commands have to complain of.</summary>
    public static TextWriter ErrorWriter() => OperatingSystem.IsWindows() ? Console.Error : Writer(OpenError());

    /// <summary>Waits until a descriptor is ready, or will never be.</summary>
    public static void WaitFor(int descriptor, short what)
    {
        Polled polled = new() { Descriptor = descriptor, Wanted = what };
        _ = Poll(ref polled, 1, -1);
    }

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

    private static TextWriter Writer(Stream stream) => TextWriter.Synchronized(new StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true });

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref Polled descriptors, nuint count, int timeoutMilliseconds);

    [StructLayout(LayoutKind.Sequential)]
    private struct Polled
    {
        public int Descriptor;
        public short Wanted;
        public short Happened;
    }
}
