using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Serve.Embedded.Tests.Functional.Wire;

namespace Serve.Embedded.Tests.Stress;

/// <summary>How an answer has ended.</summary>
internal enum RoadAnswerEnd
{
    /// <summary>Well, and the connection goes on.</summary>
    Next,

    /// <summary>Well, and the connection ends.</summary>
    Closes,

    /// <summary>In its middle.</summary>
    BrokenOff,

    /// <summary>Nothing of it came.</summary>
    None,
}

/// <summary>What comes back on one connection, read as strictly as a careful client does.</summary>
internal sealed class RoadAnswers(Socket socket, RoadLedger ledger, CancellationToken givesUp)
{
    private readonly byte[] _buffer = new byte[32 * 1024];
    private readonly StringBuilder _body = new();
    private string _read = "";
    private bool _hasEnded;

    /// <summary>The connection ended with a reset.</summary>
    public bool WasReset { get; private set; }

    /// <summary>Something has come that nobody has read.</summary>
    public bool HasMore => _read.Length > 0 || (!_hasEnded && socket.Available > 0);

    /// <summary>Waits until something comes, be it the end.</summary>
    public async Task SomethingAsync()
    {
        if (_read.Length == 0)
        {
            await ReceiveAsync();
        }
    }

    public async Task<RoadAnswerEnd> ReadAsync(RoadRequest request)
    {
        int end;
        while ((end = _read.IndexOf("\r\n\r\n", StringComparison.Ordinal)) < 0)
        {
            if (!await ReceiveAsync())
            {
                // A head goes out in one piece, and what is cut off within it was cut off by the system.
                return RoadAnswerEnd.None;
            }
        }

        if (!_read.StartsWith("HTTP/1.1 ", StringComparison.Ordinal))
        {
            ledger.Violation(1, $"where the answer to {request.Token} should begin is {_read[..end]}");
            return RoadAnswerEnd.BrokenOff;
        }

        ReceivedResponse head = new(int.Parse(_read.AsSpan(9, 3), CultureInfo.InvariantCulture), _read[..end], "");
        _read = _read[(end + 4)..];
        ledger.Answered(request, head.Status, head.Header("X-Request-Not-Run") == "?1", head.Header("X-Request-ID"), head.Header("X-Token"));
        _body.Clear();
        bool isWhole = request.Method == "HEAD" || await (head.Header("Transfer-Encoding") is null ? ReadLengthAsync(int.Parse(head.Header("Content-Length")!, CultureInfo.InvariantCulture)) : ReadChunksAsync());
        ledger.HasBody(request, _body.ToString(), isWhole);
        bool closes = head.Header("Connection") == "close";
        if (request.Closes && !closes)
        {
            ledger.Violation(5, $"{request.Token} wants its connection closed, and its answer does not say so");
        }

        return !isWhole ? RoadAnswerEnd.BrokenOff : closes ? RoadAnswerEnd.Closes : RoadAnswerEnd.Next;
    }

    private async Task<bool> ReadLengthAsync(int length)
    {
        while (_read.Length < length)
        {
            if (!await ReceiveAsync())
            {
                _body.Append(_read);
                return false;
            }
        }

        _body.Append(_read, 0, length);
        _read = _read[length..];
        return true;
    }

    private async Task<bool> ReadChunksAsync()
    {
        while (true)
        {
            int line;
            while ((line = _read.IndexOf("\r\n", StringComparison.Ordinal)) < 0)
            {
                if (!await ReceiveAsync())
                {
                    return false;
                }
            }

            int size = int.Parse(_read.AsSpan(0, line), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            _read = _read[(line + 2)..];
            if (!await ReadLengthAsync(size))
            {
                return false;
            }

            while (_read.Length < 2)
            {
                if (!await ReceiveAsync())
                {
                    return false;
                }
            }

            if (!_read.StartsWith("\r\n", StringComparison.Ordinal))
            {
                ledger.Violation(1, $"a chunk does not end as it should, but with {_read[..2]}");
                return false;
            }

            _read = _read[2..];
            if (size == 0)
            {
                return true;
            }
        }
    }

    /// <returns>Whether something came.</returns>
    private async Task<bool> ReceiveAsync()
    {
        try
        {
            int count = _hasEnded ? 0 : await socket.ReceiveAsync(_buffer, givesUp);
            _hasEnded |= count == 0;
            _read += Encoding.Latin1.GetString(_buffer, 0, count);
        }
        catch (SocketException)
        {
            _hasEnded = true;
            WasReset = true;
        }

        return !_hasEnded;
    }
}
