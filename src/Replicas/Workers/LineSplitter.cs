using System.Text;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Makes lines of what a worker writes, in one buffer as long as the longest line. The rest of a longer line is dropped. What comes out is text that no terminal obeys: invalid UTF-8 and
/// control characters become U+FFFD, and of a line that was written over (a progress bar's carriage returns) its last state remains.
/// </summary>
internal sealed class LineSplitter(Action<string> onLine)
{
    public const int LongestLine = 8 * 1024;
    public const string CutMark = " [the rest of this line was cut]";

    private readonly byte[] _buffer = new byte[LongestLine];
    private int _used;
    private bool _skipping;

    /// <summary>Where the next bytes go; never empty.</summary>
    public Memory<byte> Free => _buffer.AsMemory(_used);

    /// <summary>Takes the first bytes of <see cref="Free"/>.</summary>
    public void Advance(int count)
    {
        ReadOnlySpan<byte> unread = _buffer.AsSpan(0, _used + count);
        int searched = _used;
        while (unread[searched..].IndexOf((byte)'\n') is >= 0 and int found)
        {
            Emit(unread[..(searched + found)], "");
            unread = unread[(searched + found + 1)..];
            searched = 0;
        }

        if (unread.Length == LongestLine)
        {
            Emit(WholeCharacters(unread), CutMark);
            _skipping = true;
        }

        _used = _skipping ? 0 : unread.Length;
        unread[.._used].CopyTo(_buffer);
    }

    /// <summary>The last line may have no end.</summary>
    public void Complete()
    {
        if (_used > 0)
        {
            Emit(_buffer.AsSpan(0, _used), "");
            _used = 0;
        }
    }

    private static ReadOnlySpan<byte> WholeCharacters(ReadOnlySpan<byte> utf8)
    {
        int end = utf8.Length;
        while (end > utf8.Length - 4 && (utf8[end - 1] & 0xC0) == 0x80)
        {
            end--;
        }

        return (utf8[end - 1] & 0xC0) == 0xC0 ? utf8[..(end - 1)] : utf8[..end];
    }

    private void Emit(ReadOnlySpan<byte> line, string mark)
    {
        if (_skipping)
        {
            _skipping = false;
            return;
        }

        line = line.TrimEnd((byte)'\r');
        line = line[(line.LastIndexOf((byte)'\r') + 1)..];
        char[] text = Encoding.UTF8.GetChars(line.ToArray());
        for (int i = 0; i < text.Length; i++)
        {
            if (char.IsControl(text[i]) && text[i] != '\t')
            {
                text[i] = '\uFFFD';
            }
        }

        onLine(string.Concat(text, mark));
    }
}
