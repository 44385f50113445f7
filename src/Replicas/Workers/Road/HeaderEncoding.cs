using System.Buffers;
using System.Text;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// The bytes of header values as text and back, without losing any: UTF-8, and a byte that is none becomes one of U+DC80 to U+DCFF, which stand in no text by themselves. So a handler
/// reads UTF-8 as it is used to, and what goes on to a worker, or comes from one, is what was sent.
/// </summary>
internal sealed class HeaderEncoding : Encoding
{
    /// <summary>A byte that is not UTF-8 is added to this.</summary>
    private const char Escape = '\uDC00';

    private HeaderEncoding()
    {
    }

    /// <summary>Also a feature of every connection whose headers are read and written with it.</summary>
    public static HeaderEncoding Instance { get; } = new();

    public override int GetMaxByteCount(int charCount) => checked(charCount * 3);

    public override int GetMaxCharCount(int byteCount) => byteCount;

    public override int GetByteCount(char[] chars, int index, int count) => CountBytes(chars.AsSpan(index, count));

    public override unsafe int GetByteCount(char* chars, int count) => CountBytes(new(chars, count));

    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) =>
        Encode(chars.AsSpan(charIndex, charCount), bytes.AsSpan(byteIndex));

    public override unsafe int GetBytes(char* chars, int charCount, byte* bytes, int byteCount) => Encode(new(chars, charCount), new(bytes, byteCount));

    public override int GetCharCount(byte[] bytes, int index, int count) => CountChars(bytes.AsSpan(index, count));

    public override unsafe int GetCharCount(byte* bytes, int count) => CountChars(new(bytes, count));

    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex) =>
        Decode(bytes.AsSpan(byteIndex, byteCount), chars.AsSpan(charIndex));

    public override unsafe int GetChars(byte* bytes, int byteCount, char* chars, int charCount) => Decode(new(bytes, byteCount), new(chars, charCount));

    private static int CountBytes(ReadOnlySpan<char> text)
    {
        if (Ascii.IsValid(text))
        {
            return text.Length;
        }

        int count = 0;
        while (!text.IsEmpty)
        {
            count += TakeRune(ref text, out Rune rune, out _) ? rune.Utf8SequenceLength : 1;
        }

        return count;
    }

    private static int Encode(ReadOnlySpan<char> text, Span<byte> target)
    {
        if (Ascii.FromUtf16(text, target, out int written) == OperationStatus.Done)
        {
            return written;
        }

        written = 0;
        while (!text.IsEmpty)
        {
            if (TakeRune(ref text, out Rune rune, out byte single))
            {
                written += rune.EncodeToUtf8(target[written..]);
            }
            else
            {
                target[written++] = single;
            }
        }

        return written;
    }

    /// <returns>Whether it is a character; otherwise it is a byte that was none.</returns>
    private static bool TakeRune(ref ReadOnlySpan<char> text, out Rune rune, out byte single)
    {
        bool isRune = Rune.DecodeFromUtf16(text, out rune, out int length) == OperationStatus.Done;
        int escaped = text[0] - Escape;
        single = (byte)escaped;
        text = text[length..];
        return isRune || escaped is < 0x80 or > 0xFF;
    }

    private static int CountChars(ReadOnlySpan<byte> value)
    {
        if (Ascii.IsValid(value))
        {
            return value.Length;
        }

        int count = 0;
        while (!value.IsEmpty)
        {
            count += Rune.DecodeFromUtf8(value, out Rune rune, out int length) == OperationStatus.Done ? rune.Utf16SequenceLength : length;
            value = value[length..];
        }

        return count;
    }

    private static int Decode(ReadOnlySpan<byte> value, Span<char> target)
    {
        if (Ascii.ToUtf16(value, target, out int written) == OperationStatus.Done)
        {
            return written;
        }

        written = 0;
        while (!value.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(value, out Rune rune, out int length) == OperationStatus.Done)
            {
                written += rune.EncodeToUtf16(target[written..]);
            }
            else
            {
                foreach (byte b in value[..length])
                {
                    target[written++] = (char)(Escape + b);
                }
            }

            value = value[length..];
        }

        return written;
    }
}
