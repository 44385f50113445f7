using System.Buffers.Text;
using System.Runtime.InteropServices;
using System.Text;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// A worker's status line and headers, read strictly: what another reader could understand otherwise is refused. Where its parts are is kept as
/// places in the bytes that were parsed. One per connection, refilled for each response.
/// </summary>
internal sealed class ResponseHead
{
    public const int LargestHead = 64 * 1024;
    public const int MostHeaders = 200;

    private readonly List<HeaderPlace> _headers = [];
    private Range _reason;

    public int StatusCode { get; private set; }

    /// <summary>What its status line says.</summary>
    public bool IsHttp11 { get; private set; }

    /// <summary>Of its status line, with its end.</summary>
    public int LineLength { get; private set; }

    /// <summary>The worker will not close the connection after this response.</summary>
    public bool KeepsAlive { get; private set; }

    public bool IsChunked { get; private set; }

    public long? ContentLength { get; private set; }

    /// <summary>A Connection header says more than one of the two usual words.</summary>
    public bool ConnectionNamesOthers { get; private set; }

    public ReadOnlySpan<HeaderPlace> Headers => CollectionsMarshal.AsSpan(_headers);

    /// <summary>Reads a head if the whole of it is there.</summary>
    /// <param name="bytes">What has come from the worker.</param>
    /// <param name="consumed">The length of the head with its empty line.</param>
    /// <exception cref="BadAnswerException">It is none, or will never become one.</exception>
    public bool TryParse(ReadOnlySpan<byte> bytes, out int consumed)
    {
        int end = bytes.IndexOf("\r\n\r\n"u8);
        if (end < 0)
        {
            consumed = 0;
            ThrowIfHopeless(bytes);
            return false;
        }

        consumed = end + 4;
        if (consumed > LargestHead)
        {
            throw TooLarge();
        }

        ReadOnlySpan<byte> head = bytes[..(end + 2)];
        int lineEnd = LineEnd(head, 0);
        ParseStatusLine(head[..lineEnd]);
        LineLength = lineEnd + 2;
        ParseHeaders(head, LineLength);
        return true;
    }

    public string Reason(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(ReasonBytes(bytes));

    public ReadOnlySpan<byte> ReasonBytes(ReadOnlySpan<byte> bytes) => bytes[_reason];

    /// <summary>What can be said against bytes that are not a whole head yet: a worker that never ends its lines must not be waited for.</summary>
    private static void ThrowIfHopeless(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length >= LargestHead)
        {
            throw TooLarge();
        }

        ReadOnlySpan<byte> start = "HTTP/1."u8;
        if (!bytes.StartsWith(start[..Math.Min(bytes.Length, start.Length)]))
        {
            throw NoStatusLine();
        }

        for (int at = 0; ;)
        {
            int feed = bytes[at..].IndexOf((byte)'\n');
            if (feed < 0)
            {
                return;
            }

            at += feed + 1;
            if (at < 2 || bytes[at - 2] != '\r')
            {
                throw new BadAnswerException("a line ends with a bare line feed");
            }
        }
    }

    /// <summary>Where the line that begins at <paramref name="start"/> ends; its own bytes hold neither CR nor LF.</summary>
    private static int LineEnd(ReadOnlySpan<byte> head, int start)
    {
        int length = head[start..].IndexOfAny((byte)'\r', (byte)'\n');
        int end = start + length;
        if (head[end] == '\n')
        {
            throw new BadAnswerException("a line ends with a bare line feed");
        }

        // The head ends with CR LF, so that a CR has always something after it.
        return head[end + 1] == '\n' ? end : throw new BadAnswerException("a line holds a bare carriage return");
    }

    private void ParseStatusLine(ReadOnlySpan<byte> line)
    {
        // "HTTP/1.1 200 OK"; some leave out the space when there is no reason.
        if (line.Length < 12 || !line.StartsWith("HTTP/1."u8) || line[7] is not ((byte)'0' or (byte)'1') || line[8] != ' ' || (line.Length > 12 && line[12] != ' '))
        {
            throw NoStatusLine();
        }

        int status = 0;
        foreach (byte digit in line[9..12])
        {
            status = (status * 10) + (char.IsAsciiDigit((char)digit) ? digit - '0' : throw NoStatusLine());
        }

        if (status < 100 || !HeaderText.IsValue(line))
        {
            throw NoStatusLine();
        }

        StatusCode = status;
        _reason = Math.Min(13, line.Length)..line.Length;
        IsHttp11 = line[7] == '1';
    }

    private void ParseHeaders(ReadOnlySpan<byte> head, int start)
    {
        _headers.Clear();
        ContentLength = null;
        IsChunked = false;
        KeepsAlive = IsHttp11;
        ConnectionNamesOthers = false;

        // Asked once: where nearly never is one, nobody asks for each header.
        bool holdsControls = !HeaderText.IsText(head);
        while (start < head.Length)
        {
            int end = LineEnd(head, start);
            ReadOnlySpan<byte> line = head[start..end];
            if (line[0] is (byte)' ' or (byte)'\t')
            {
                throw new BadAnswerException("a header is folded over two lines");
            }

            int colon = HeaderText.NameLength(line);
            if (colon == 0)
            {
                throw new BadAnswerException("a header line has no valid name");
            }

            if (holdsControls && !HeaderText.IsValue(line[(colon + 1)..]))
            {
                throw new BadAnswerException("a header's value holds a control character");
            }

            if (_headers.Count == MostHeaders)
            {
                throw new BadAnswerException($"it has more than {MostHeaders} headers");
            }

            int valueStart = start + colon + 1;
            int valueEnd = end;
            while (valueStart < valueEnd && IsBlank(head[valueStart]))
            {
                valueStart++;
            }

            while (valueStart < valueEnd && IsBlank(head[valueEnd - 1]))
            {
                valueEnd--;
            }

            HeaderKind kind = KindOf(line[..colon]);
            _headers.Add(new(kind, start, colon, valueStart, valueEnd - valueStart));
            Frame(kind, head[valueStart..valueEnd]);
            start = end + 2;
        }

        if (IsChunked && ContentLength is not null)
        {
            throw new BadAnswerException("it has both Transfer-Encoding and Content-Length");
        }
    }

    /// <summary>What a header says about where the response ends.</summary>
    private void Frame(HeaderKind kind, ReadOnlySpan<byte> value)
    {
        switch (kind)
        {
            case HeaderKind.Connection:
                if (Ascii.EqualsIgnoreCase(value, "keep-alive"u8))
                {
                    break;
                }

                foreach (Range part in value.Split((byte)','))
                {
                    bool closes = Ascii.EqualsIgnoreCase(value[part].Trim(" \t"u8), "close"u8);
                    KeepsAlive &= !closes;
                    ConnectionNamesOthers |= !closes;
                }

                break;
            case HeaderKind.ContentLength:
                long length = ParseLength(value);
                ContentLength = ContentLength is { } other && other != length
                    ? throw new BadAnswerException("it has two different Content-Lengths")
                    : length;
                break;
            case HeaderKind.TransferEncoding:
                if (IsChunked || !IsHttp11 || !Ascii.EqualsIgnoreCase(value, "chunked"u8))
                {
                    throw new BadAnswerException("its Transfer-Encoding is not \"chunked\" alone, in HTTP/1.1");
                }

                IsChunked = true;
                break;
        }
    }

    private static HeaderKind KindOf(ReadOnlySpan<byte> name) => name.Length switch
    {
        4 when Ascii.EqualsIgnoreCase(name, "Date"u8) => HeaderKind.Date,
        7 when Ascii.EqualsIgnoreCase(name, "Trailer"u8) => HeaderKind.Trailer,
        7 when Ascii.EqualsIgnoreCase(name, "Upgrade"u8) => HeaderKind.Upgrade,
        10 when Ascii.EqualsIgnoreCase(name, "Connection"u8) => HeaderKind.Connection,
        12 when Ascii.EqualsIgnoreCase(name, "X-Request-ID"u8) => HeaderKind.RequestId,
        14 when Ascii.EqualsIgnoreCase(name, "Content-Length"u8) => HeaderKind.ContentLength,
        17 when Ascii.EqualsIgnoreCase(name, "Transfer-Encoding"u8) => HeaderKind.TransferEncoding,
        _ => HopByHop.Is(name) ? HeaderKind.OfConnection : HeaderKind.Usual,
    };

    private static bool IsBlank(byte b) => b is (byte)' ' or (byte)'\t';

    private static long ParseLength(ReadOnlySpan<byte> value) =>
        !value.IsEmpty && char.IsAsciiDigit((char)value[0]) && Utf8Parser.TryParse(value, out long length, out int read) && read == value.Length
            ? length
            : throw new BadAnswerException("its Content-Length is not a number of bytes");

    private static BadAnswerException NoStatusLine() => new("it does not begin with a status line such as \"HTTP/1.1 200 OK\"");

    private static BadAnswerException TooLarge() => new($"its status line and headers are larger than {LargestHead} bytes");
}

/// <summary>Headers of a response that mean something on the way.</summary>
internal enum HeaderKind
{
    /// <summary>It goes on to the client, unless Connection names it.</summary>
    Usual,
    Date,
    ContentLength,
    RequestId,
    Connection,
    TransferEncoding,
    Trailer,
    Upgrade,

    /// <summary>Another that belongs to the connection (<see cref="HopByHop"/>).</summary>
    OfConnection,
}

/// <summary>Where a header is in the bytes of its head.</summary>
internal readonly record struct HeaderPlace(HeaderKind Kind, int NameStart, int NameLength, int ValueStart, int ValueLength)
{
    public ReadOnlySpan<byte> Name(ReadOnlySpan<byte> head) => head.Slice(NameStart, NameLength);

    public ReadOnlySpan<byte> Value(ReadOnlySpan<byte> head) => head.Slice(ValueStart, ValueLength);

    /// <summary>Whether its line is written in the one way in which all are: a space before the value, and none after it.</summary>
    public bool IsUsual(ReadOnlySpan<byte> head) => ValueStart == NameStart + NameLength + 2 && head[ValueStart - 1] == ' ' && head[ValueStart + ValueLength] == '\r';
}
