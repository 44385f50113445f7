using System.Text;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Takes the chunks of a worker's response apart, strictly.</summary>
internal struct ChunkReader
{
    /// <summary>Chunk extensions and trailers of one response, together.</summary>
    private const int LargestExtras = 16 * 1024;

    private State _state;
    private long _left;
    private int _digits;
    private int _extras;
    private List<byte>? _line;
    private List<KeyValuePair<string, byte[]>>? _trailers;

    private enum State
    {
        Size,
        Extension,
        SizeFeed,
        Data,
        DataReturn,
        DataFeed,
        TrailerStart,
        Trailer,
        TrailerFeed,
        LastFeed,
        Ended,
    }

    public readonly bool HasEnded => _state == State.Ended;

    /// <summary>What came behind the last chunk.</summary>
    public readonly IEnumerable<KeyValuePair<string, byte[]>> Trailers => _trailers ?? [];

    /// <summary>Reads up to the end of the next piece of data.</summary>
    /// <param name="bytes">What has come.</param>
    /// <param name="data">The piece, as a part of <paramref name="bytes"/>; empty if none has come.</param>
    /// <returns>How many bytes are read, the piece with them. All of them, if there is neither a piece nor an end.</returns>
    /// <exception cref="BadAnswerException">These are no chunks.</exception>
    public int Read(ReadOnlySpan<byte> bytes, out Range data)
    {
        for (int at = 0; at < bytes.Length; at++)
        {
            if (_state == State.Data)
            {
                int count = (int)Math.Min(_left, bytes.Length - at);
                _left -= count;
                _state = _left == 0 ? State.DataReturn : State.Data;
                data = at..(at + count);
                return at + count;
            }

            Take(bytes[at]);
            if (_state == State.Ended)
            {
                data = default;
                return at + 1;
            }
        }

        data = default;
        return bytes.Length;
    }

    private void Take(byte b)
    {
        switch (_state)
        {
            case State.Size:
                TakeSize(b);
                break;
            case State.Extension:
                CountExtra();
                _state = b switch
                {
                    (byte)'\r' => State.SizeFeed,
                    (byte)'\t' or (>= 0x20 and not 0x7F) => State.Extension,
                    _ => throw new BadAnswerException("a chunk's extension holds a control character"),
                };
                break;
            case State.SizeFeed:
                _state = Feed(b) && _left > 0 ? State.Data : State.TrailerStart;
                break;
            case State.DataReturn:
                _state = b == '\r' ? State.DataFeed : throw new BadAnswerException("a chunk is longer than its size says");
                break;
            case State.DataFeed:
                Feed(b);
                _state = State.Size;
                _digits = 0;
                break;
            case State.TrailerStart when b == '\r':
                _state = State.LastFeed;
                break;
            case State.TrailerStart or State.Trailer:
                CountExtra();
                _state = b switch
                {
                    (byte)'\r' => State.TrailerFeed,
                    (byte)'\t' or (>= 0x20 and not 0x7F) => State.Trailer,
                    _ => throw new BadAnswerException("a trailer holds a control character"),
                };
                if (b != '\r')
                {
                    (_line ??= []).Add(b);
                }

                break;
            case State.TrailerFeed:
                Feed(b);
                TakeTrailer();
                _state = State.TrailerStart;
                break;
            case State.LastFeed:
                Feed(b);
                _state = State.Ended;
                break;
        }
    }

    private void TakeTrailer()
    {
        ReadOnlySpan<byte> line = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_line);
        int colon = HeaderText.NameLength(line);
        if (colon == 0)
        {
            throw new BadAnswerException("a trailer has no valid name");
        }

        (_trailers ??= []).Add(new(Encoding.ASCII.GetString(line[..colon]), line[(colon + 1)..].Trim(" \t"u8).ToArray()));
        _line!.Clear();
    }

    private void TakeSize(byte b)
    {
        if (char.IsAsciiHexDigit((char)b))
        {
            // 15 digits are more than any body has, and fit.
            _left = (_digits == 0 ? 0 : _left << 4) | (uint)(b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10);
            if (++_digits > 15)
            {
                throw new BadAnswerException("a chunk's size is too large");
            }

            return;
        }

        _state = b switch
        {
            _ when _digits == 0 => throw new BadAnswerException("a chunk has no size"),
            (byte)'\r' => State.SizeFeed,
            (byte)';' or (byte)' ' or (byte)'\t' => State.Extension,
            _ => throw new BadAnswerException("a chunk's size is not a hexadecimal number"),
        };
    }

    private static bool Feed(byte b) => b == '\n' ? true : throw new BadAnswerException("a line of its chunks does not end with CR LF");

    private void CountExtra()
    {
        if (++_extras > LargestExtras)
        {
            throw new BadAnswerException($"its chunk extensions and trailers are larger than {LargestExtras} bytes");
        }
    }
}
