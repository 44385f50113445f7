using System.Runtime.CompilerServices;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Reads a worker's responses off its connection: the head, then the body piece by piece, to its exact end.</summary>
internal sealed class ResponseReader(WorkerConnection connection)
{
    /// <summary>Interim responses before the real one.</summary>
    private const int MostInterim = 16;

    private bool _answersHead;
    private bool _upgrades;
    private int _interim;
    private BodyEnd _bodyEnd;
    private long _left;
    private ChunkReader _chunks;
    private bool _hasEnded;

    private enum BodyEnd
    {
        Length,
        Chunks,
        Close,
    }

    public ResponseHead Head { get; } = new();

    /// <summary>The bytes of the head, until more is received.</summary>
    public ReadOnlyMemory<byte> HeadBytes { get; private set; }

    /// <summary>Nothing more belongs to this response.</summary>
    public bool HasEnded => _hasEnded;

    /// <summary>What came behind a body in chunks.</summary>
    public IEnumerable<KeyValuePair<string, byte[]>> Trailers => _chunks.Trailers;

    /// <summary>Read to the end, with nothing after it: the connection can carry another request.</summary>
    public bool IsClean => _hasEnded && _bodyEnd != BodyEnd.Close && Head.KeepsAlive && connection.UnreadSpan.IsEmpty;

    /// <summary>Makes ready for the next response.</summary>
    /// <param name="answersHead">The request's method is HEAD.</param>
    /// <param name="upgrades">The worker may take the connection over.</param>
    public void Begin(bool answersHead, bool upgrades)
    {
        _answersHead = answersHead;
        _upgrades = upgrades;
        _interim = 0;
        _hasEnded = false;
    }

    /// <summary>Reads up to the end of the head that answers, out of what has been received; the interim ones before it are skipped.</summary>
    /// <returns>Whether it is there: otherwise more must be received.</returns>
    /// <exception cref="BadAnswerException">It is not one.</exception>
    public bool TryReadHead()
    {
        while (!connection.UnreadSpan.IsEmpty && Head.TryParse(connection.UnreadSpan, out int length))
        {
            HeadBytes = connection.Unread[..length];
            connection.Consume(length);
            if (Head.StatusCode >= 200 || (Head.StatusCode == 101 && _upgrades))
            {
                BeginBody(_answersHead);
                return true;
            }

            if (Head.StatusCode == 101)
            {
                throw new BadAnswerException("it is 101 Switching Protocols, which nobody asked for");
            }

            if (++_interim > MostInterim)
            {
                throw new BadAnswerException($"more than {MostInterim} interim responses come before it");
            }
        }

        return false;
    }

    /// <summary>Reads up to the end of the head that answers.</summary>
    /// <inheritdoc cref="Begin"/>
    /// <exception cref="BadAnswerException">It is not one.</exception>
    /// <exception cref="ConnectionLostException">The worker closed the connection first.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask ReadHeadAsync(bool answersHead, bool upgrades)
    {
        Begin(answersHead, upgrades);
        while (!TryReadHead())
        {
            if (await connection.ReceiveAsync() == 0)
            {
                throw LostHead();
            }
        }
    }

    /// <summary>The worker has closed the connection before its response's head was whole.</summary>
    public ConnectionLostException LostHead() => new(connection.UnreadSpan.IsEmpty
        ? "The worker closed the connection before it answered."
        : "The worker closed the connection in the middle of its status line and headers.");

    /// <summary>The next piece of the body out of what has been received.</summary>
    /// <returns>Whether there is one: otherwise the body has ended, or more must be received.</returns>
    /// <exception cref="BadAnswerException">It is not framed as it should be.</exception>
    public bool TryReadPiece(out ReadOnlyMemory<byte> piece)
    {
        ReadOnlyMemory<byte> unread = connection.Unread;
        piece = default;
        if (_hasEnded || unread.IsEmpty)
        {
            return false;
        }

        switch (_bodyEnd)
        {
            case BodyEnd.Chunks:
                int read = _chunks.Read(unread.Span, out Range data);
                piece = unread[..read][data];
                _hasEnded = _chunks.HasEnded;
                connection.Consume(read);
                break;
            case BodyEnd.Length:
                int count = (int)Math.Min(_left, unread.Length);
                piece = unread[..count];
                _left -= count;
                _hasEnded = _left == 0;
                connection.Consume(count);
                break;
            case BodyEnd.Close:
                piece = unread;
                connection.Consume(unread.Length);
                break;
        }

        return !piece.IsEmpty;
    }

    /// <summary>Receives more of the body, if some is there already.</summary>
    /// <returns>Whether something came, be it the end.</returns>
    public bool TryReceive()
    {
        int count = connection.TryReceive();
        if (count == 0)
        {
            EndByClose();
        }

        return count >= 0;
    }

    /// <summary>Waits for more of the body, or its end.</summary>
    /// <exception cref="ConnectionLostException">The worker closed the connection within the body.</exception>
    public async ValueTask ReceiveAsync()
    {
        if (await connection.ReceiveAsync() == 0)
        {
            EndByClose();
        }
    }

    private void BeginBody(bool answersHead)
    {
        if (answersHead || Head.StatusCode is 101 or 204 or 304)
        {
            _bodyEnd = BodyEnd.Length;
            _hasEnded = true;
        }
        else if (Head.IsChunked)
        {
            _bodyEnd = BodyEnd.Chunks;
            _chunks = default;
        }
        else if (Head.ContentLength is { } length)
        {
            _bodyEnd = BodyEnd.Length;
            _left = length;
            _hasEnded = length == 0;
        }
        else
        {
            _bodyEnd = BodyEnd.Close;
        }
    }

    private void EndByClose()
    {
        if (_bodyEnd != BodyEnd.Close)
        {
            throw new ConnectionLostException("The worker closed the connection in the middle of its response.");
        }

        _hasEnded = true;
    }
}
