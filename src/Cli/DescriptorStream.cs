using System.Runtime.InteropServices;

namespace Serve.Embedded.Cli;

/// <summary>
/// Writes to a descriptor as it is. The framework's console puts a terminal into its application mode and leaves it there, and says nothing when nobody reads a pipe
/// any more, though a log must know what it has lost. A <see cref="FileStream"/> has a place in a file of its own, and would write over what others write to the same one.
/// </summary>
/// <param name="descriptor">Which is open for as long as the process lives.</param>
/// <param name="readerMayLeave">Who reads a pipe may have seen enough, as <c>head</c> has: that is no failure.</param>
internal sealed partial class DescriptorStream(int descriptor, bool readerMayLeave = false) : Stream
{
    private const int Interrupted = 4;
    private const int WouldBlock = 11;
    private const int BrokenPipe = 32;
    private const short CanTakeMore = 4;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <exception cref="IOException">It takes nothing: a closed pipe, a full disk.</exception>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            nint written = Write(descriptor, buffer, (nuint)buffer.Length);
            if (written >= 0)
            {
                buffer = buffer[(int)written..];
                continue;
            }

            int error = Marshal.GetLastPInvokeError();
            if (error == WouldBlock)
            {
                // Somebody else who holds it has said that nobody shall wait in it.
                StandardStreams.WaitFor(descriptor, CanTakeMore);
            }
            else if (error == BrokenPipe && readerMayLeave)
            {
                return;
            }
            else if (error != Interrupted)
            {
                throw new IOException(Marshal.GetPInvokeErrorMessage(error));
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(int descriptor, ReadOnlySpan<byte> bytes, nuint count);
}
