namespace Serve.Embedded.Telemetry;

/// <summary>
/// Bytes that many threads append whole lines to without a lock and one thread takes all at once. A writer claims its
/// stretch with one compare-and-swap, copies, and then reports the stretch as filled; the taker seals the
/// block, which ends all claims, and waits for the claims under way.
/// </summary>
/// <remarks>
/// A writer that was held up between reading the end and claiming may meet the block sealed, or opened again for a later
/// batch. Both are harmless: a sealed end never equals the one it read, and a claim in an open block is valid whenever it is made.
/// </remarks>
internal sealed class LogBlock(int capacity)
{
    /// <summary>The sign bit of the end: no more claims.</summary>
    private const int Sealed = int.MinValue;

    /// <summary>Lines are counted above the bytes, so that one addition reports both.</summary>
    private const int LineShift = 32;

    private readonly byte[] _bytes = GC.AllocateUninitializedArray<byte>(capacity);
    private int _end = Sealed;
    private long _filled;

    public enum Outcome
    {
        Appended,
        Full,
        Sealed,
    }

    public bool HasLines => Volatile.Read(ref _filled) != 0;

    public bool IsHalfFull => (Volatile.Read(ref _end) & ~Sealed) > _bytes.Length / 2;

    /// <param name="line">With its line feed.</param>
    /// <param name="leaves">So many bytes stay for others.</param>
    public Outcome TryAppend(ReadOnlySpan<byte> line, int leaves = 0)
    {
        int end = Volatile.Read(ref _end);
        while (true)
        {
            if (end < 0)
            {
                return Outcome.Sealed;
            }

            if (line.Length > _bytes.Length - leaves - end)
            {
                return Outcome.Full;
            }

            int seen = Interlocked.CompareExchange(ref _end, end + line.Length, end);
            if (seen == end)
            {
                break;
            }

            end = seen;
        }

        line.CopyTo(_bytes.AsSpan(end));
        Interlocked.Add(ref _filled, (1L << LineShift) + line.Length);
        return Outcome.Appended;
    }

    /// <summary>Empties a sealed block and accepts lines again.</summary>
    public void Open()
    {
        _filled = 0;
        Volatile.Write(ref _end, 0);
    }

    /// <summary>Ends appending; the bytes stay as they are until the block is opened again.</summary>
    public ReadOnlySpan<byte> Seal(out int lines)
    {
        int end = Interlocked.Or(ref _end, Sealed) & ~Sealed;
        SpinWait spin = default;
        while ((int)Volatile.Read(ref _filled) != end)
        {
            spin.SpinOnce();
        }

        lines = (int)(_filled >> LineShift);
        return _bytes.AsSpan(0, end);
    }
}
