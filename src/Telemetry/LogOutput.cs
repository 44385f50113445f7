using System.Globalization;
using System.Text;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// The road from log lines to a stream that may be slow, stuck or broken: threads append to one of two bounded blocks and
/// never wait, one background thread writes the other. What does not fit is dropped and counted, and the count is written
/// into the log as soon as there is room again.
/// </summary>
internal sealed class LogOutput : IDisposable
{
    /// <summary>Both blocks together: several thousand lines.</summary>
    public const int DefaultCapacity = 1 << 20;

    /// <summary>How long <see cref="Dispose"/> waits for a slow output.</summary>
    public static readonly TimeSpan DefaultDeadline = TimeSpan.FromSeconds(2);

    /// <summary>How long a first line waits for company: batches cost the server a hundredth of what single writes do.</summary>
    public static readonly TimeSpan DefaultLinger = TimeSpan.FromMilliseconds(10);

    /// <summary>The part of a block that lines of the access log leave free: there are so many of them that none of the others would find room, and what went wrong is in the others.</summary>
    private const int PartForOthers = 8;

    private const int Busy = 0;
    private const int Asleep = 1;
    private const int Lingering = 2;

    /// <summary>A full disk or a closed pipe is asked again this often.</summary>
    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromSeconds(1);

    private readonly Stream _stream;
    private readonly int _forOthers;
    private readonly TimeSpan _linger;
    private readonly ManualResetEventSlim _wake = new(initialState: false, spinCount: 0);
    private readonly Thread _writer;
    private LogBlock _active;
    private LogBlock _spare;
    private int _writerState;
    private volatile bool _closing;
    private long _dropped;
    private long _lost;
    private long _droppedTold;
    private long _lostTold;
    private string? _failure;
    private volatile Func<string, byte[]> _noticeFormat = static notice => Encoding.UTF8.GetBytes(notice + "\n");

    public LogOutput(Stream stream, int capacity = DefaultCapacity, TimeSpan? linger = null)
    {
        _stream = stream;
        _forOthers = capacity / 2 / PartForOthers;
        _linger = linger ?? DefaultLinger;
        _active = new LogBlock(capacity / 2);
        _spare = new LogBlock(capacity / 2);
        _active.Open();
        _writer = new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "serve log" };
        _writer.UnsafeStart();
    }

    /// <summary>Lines that never reached the stream, since the start.</summary>
    public long Dropped => Volatile.Read(ref _dropped) + Volatile.Read(ref _lost);

    /// <summary>Makes a line, with its line feed, of what the output itself has to say.</summary>
    public Func<string, byte[]> NoticeFormat
    {
        set => _noticeFormat = value;
    }

    /// <summary>Takes a copy of <paramref name="line"/>, which ends in a line feed; false = dropped. Never waits.</summary>
    /// <param name="line">A whole one.</param>
    /// <param name="isAccess">It is one of the access log, which is dropped before others are.</param>
    public bool Write(ReadOnlySpan<byte> line, bool isAccess = false)
    {
        LogBlock block;
        LogBlock.Outcome outcome;
        do
        {
            block = Volatile.Read(ref _active);
            outcome = block.TryAppend(line, isAccess ? _forOthers : 0);
        }
        while (outcome == LogBlock.Outcome.Sealed && (block != Volatile.Read(ref _active) || !_closing));

        if (outcome != LogBlock.Outcome.Appended)
        {
            Interlocked.Increment(ref _dropped);
            return false;
        }

        // The append was a full fence: either the writer sees the line before it waits, or this sees that it waits.
        int state = Volatile.Read(ref _writerState);
        if (state != Busy
            && (state == Asleep || block.IsHalfFull)
            && Interlocked.CompareExchange(ref _writerState, Busy, state) == state)
        {
            _wake.Set();
        }

        return true;
    }

    /// <summary>
    /// Writes what is pending and ends; false = the output did not take it within <paramref name="deadline"/> and what is
    /// left is given up with the process. Lines after this are dropped. May be called again, by anyone.
    /// </summary>
    public bool Close(TimeSpan deadline)
    {
        _closing = true;
        _wake.Set();
        return _writer.Join(deadline);
    }

    public void Dispose() => Close(DefaultDeadline);

    private void Run()
    {
        bool failed = false;
        bool last;
        do
        {
            WaitForLines();
            Linger(failed ? PauseAfterFailure : _linger);
            last = _closing;
            LogBlock full = _active;
            if (!last)
            {
                _spare.Open();
                Volatile.Write(ref _active, _spare);
                _spare = full;
            }

            ReadOnlySpan<byte> lines = full.Seal(out int count);
            // What was dropped until now was dropped after these lines; what is dropped from now on follows the next ones.
            long dropped = Volatile.Read(ref _dropped);
            failed = !(lines.IsEmpty || TryWrite(lines, count)) || !TryTellLosses(dropped);
        }
        while (!last);
    }

    private void WaitForLines()
    {
        while (true)
        {
            _wake.Reset();
            Interlocked.Exchange(ref _writerState, Asleep);
            if (_active.HasLines || _closing)
            {
                Volatile.Write(ref _writerState, Busy);
                return;
            }

            _wake.Wait();
        }
    }

    private void Linger(TimeSpan time)
    {
        _wake.Reset();
        Interlocked.Exchange(ref _writerState, Lingering);
        if (!_active.IsHalfFull && !_closing)
        {
            _wake.Wait(time);
        }

        Volatile.Write(ref _writerState, Busy);
    }

    /// <summary>What an output throws is its own affair: a server does not end because its log cannot be written.</summary>
    private bool TryWrite(ReadOnlySpan<byte> bytes, int lines)
    {
        try
        {
            _stream.Write(bytes);
            _stream.Flush();
            return true;
        }
        catch (Exception e)
        {
            Volatile.Write(ref _lost, _lost + lines);
            _failure = e.Message;
            return false;
        }
    }

    private bool TryTellLosses(long dropped)
    {
        if (dropped > _droppedTold)
        {
            if (!TryWrite(_noticeFormat($"{Lines(dropped - _droppedTold)} dropped because the output was slower than the log"), 0))
            {
                return false;
            }

            _droppedTold = dropped;
        }

        if (_lost > _lostTold)
        {
            if (!TryWrite(_noticeFormat($"{Lines(_lost - _lostTold)} lost because the output failed: {_failure}"), 0))
            {
                return false;
            }

            _lostTold = _lost;
        }

        return true;
    }

    private static string Lines(long count) =>
        count == 1 ? "1 log line was" : string.Create(CultureInfo.InvariantCulture, $"{count} log lines were");
}
