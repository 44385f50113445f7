using System.Buffers;
using System.Globalization;
using System.Text.Unicode;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// The bytes of one log line in the making, reused from line to line. Text that may come from outside goes through
/// <see cref="AppendSafe"/> or <see cref="AppendToken"/>, which leave no character in it that could end the line, forge another or drive a terminal.
/// </summary>
internal sealed class LineBuffer : IBufferWriter<byte>
{
    /// <summary>The longest line, its mark and its line feed included.</summary>
    public const int MaxLineBytes = 64 * 1024;

    private const int InitialBytes = 512;
    private const int MaxRetainedBytes = 16 * 1024;

    /// <summary>Control characters, line ends beyond ASCII, and the marks that reorder what a reader sees.</summary>
    private const string Unsafe =
        "\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u0009\u000a\u000b\u000c\u000d\u000e\u000f" +
        "\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\u007f" +
        "\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f" +
        "\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f" +
        "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069";

    private static readonly SearchValues<char> UnsafeInText = SearchValues.Create(Unsafe);
    private static readonly SearchValues<char> UnsafeInTokens = SearchValues.Create(Unsafe + " ");

    private byte[] _bytes = new byte[InitialBytes];
    private int _length;

    public int Length => _length;

    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);

    /// <summary>Text beyond <see cref="MaxLineBytes"/> is not taken in at all, so that a huge message costs no huge buffer.</summary>
    private int Room => Math.Max(0, MaxLineBytes - _length);

    public static ReadOnlySpan<char> Cap(string text, int maxChars) => text.Length <= maxChars ? text : text.AsSpan(0, maxChars);

    public void Clear()
    {
        _length = 0;
        if (_bytes.Length > MaxRetainedBytes)
        {
            _bytes = new byte[InitialBytes];
        }
    }

    public void Append(ReadOnlySpan<byte> utf8)
    {
        utf8.CopyTo(GetSpan(utf8.Length));
        _length += utf8.Length;
    }

    public void Append(long number)
    {
        number.TryFormat(GetSpan(20), out int written, provider: CultureInfo.InvariantCulture);
        _length += written;
    }

    public void Append(DateTime time)
    {
        LogTime.Format(time, GetSpan(LogTime.Length));
        _length += LogTime.Length;
    }

    /// <summary>One field of several on a line: spaces are escaped too.</summary>
    public void AppendToken(ReadOnlySpan<char> text) => Append(text, UnsafeInTokens);

    public void AppendSafe(ReadOnlySpan<char> text) => Append(text, UnsafeInText);

    /// <summary>Every line of <paramref name="text"/> below the record's own, indented: no line of it can pass for a record.</summary>
    public void AppendIndented(string text, ReadOnlySpan<byte> lineStart)
    {
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            if (Room == 0)
            {
                return;
            }

            Append("\n"u8);
            Append(lineStart);
            Append("    "u8);
            AppendSafe(line);
        }
    }

    /// <summary>Ends the line, cut to its limit.</summary>
    public void EndLine()
    {
        ReadOnlySpan<byte> mark = " ... [truncated]"u8;
        if (_length >= MaxLineBytes)
        {
            int end = MaxLineBytes - mark.Length - 1;
            while ((_bytes[end] & 0xC0) == 0x80)
            {
                end--;
            }

            _length = end;
            Append(mark);
        }

        Append("\n"u8);
    }

    public void Advance(int count) => _length += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return _bytes.AsMemory(_length);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return _bytes.AsSpan(_length);
    }

    private void Append(ReadOnlySpan<char> text, SearchValues<char> unsafeCharacters)
    {
        if (text.Length > Room)
        {
            text = text[..Room];
        }

        while (true)
        {
            int stop = text.IndexOfAny(unsafeCharacters);
            AppendUtf8(stop < 0 ? text : text[..stop]);
            if (stop < 0)
            {
                return;
            }

            AppendEscaped(text[stop]);
            text = text[(stop + 1)..];
        }
    }

    private void AppendUtf8(ReadOnlySpan<char> text)
    {
        Utf8.FromUtf16(text, GetSpan(text.Length * 3), out _, out int written);
        _length += written;
    }

    private void AppendEscaped(char character)
    {
        switch (character)
        {
            case '\n':
                Append("\\n"u8);
                return;
            case '\r':
                Append("\\r"u8);
                return;
            case '\t':
                Append("\\t"u8);
                return;
            default:
                Append(character < 0x100 ? "\\x"u8 : "\\u"u8);
                ((int)character).TryFormat(GetSpan(4), out int written, character < 0x100 ? "x2" : "x4", CultureInfo.InvariantCulture);
                _length += written;
                return;
        }
    }

    private void Reserve(int count)
    {
        if (_bytes.Length - _length < count)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _length + count));
        }
    }
}
