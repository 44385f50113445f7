using System.Net.Sockets;
using System.Text;

namespace Serve.Embedded.Tests.Replicas.Workers.Road;

/// <summary>A scripted worker's end of one connection.</summary>
/// <param name="socket">The connection.</param>
/// <param name="index">Which of the worker's connections it is, from 0.</param>
internal sealed class WorkerSide(Socket socket, int index) : IDisposable
{
    private readonly byte[] _buffer = new byte[64 * 1024];
    private string _read = "";

    public int Index => index;

    /// <summary>Something has come that nobody has read.</summary>
    public bool HasMore => _read.Length > 0 || socket.Available > 0;

    /// <summary>Whether the road has closed the connection.</summary>
    public bool IsClosed
    {
        get
        {
            try
            {
                return socket.Poll(0, SelectMode.SelectRead) && socket.Available == 0;
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                return true;
            }
        }
    }

    /// <summary>Completes when the road has closed the connection.</summary>
    public async Task ClosedAsync()
    {
        try
        {
            while (await socket.ReceiveAsync(_buffer) > 0)
            {
            }
        }
        catch (SocketException)
        {
        }
    }

    /// <summary>Reads up to and with this text, which is kept from the next read.</summary>
    public async Task<string> ReadThroughAsync(string text)
    {
        int at;
        while ((at = _read.IndexOf(text, StringComparison.Ordinal)) < 0)
        {
            int count = await socket.ReceiveAsync(_buffer);
            if (count == 0)
            {
                throw new WorkerSideClosedException();
            }

            _read += Encoding.Latin1.GetString(_buffer, 0, count);
        }

        string result = _read[..(at + text.Length)];
        _read = _read[(at + text.Length)..];
        return result;
    }

    /// <summary>Reads a request's line and headers.</summary>
    public Task<string> ReadHeadAsync() => ReadThroughAsync("\r\n\r\n");

    public async Task<string> ReadExactlyAsync(int count)
    {
        while (_read.Length < count)
        {
            int received = await socket.ReceiveAsync(_buffer);
            if (received == 0)
            {
                throw new WorkerSideClosedException();
            }

            _read += Encoding.Latin1.GetString(_buffer, 0, received);
        }

        string result = _read[..count];
        _read = _read[count..];
        return result;
    }

    public async Task SendAsync(string text) => await socket.SendAsync(Encoding.Latin1.GetBytes(text));

    /// <summary>An answer that any road understands.</summary>
    public Task AnswerAsync(string body) => SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");

    /// <summary>The road sees its end when this returns: closed alone, the socket stays open for as long as a process that is just being started has it too.</summary>
    public void End()
    {
        socket.Shutdown(SocketShutdown.Both);
        socket.Dispose();
    }

    public void Dispose() => socket.Dispose();
}

/// <summary>The road closed a connection on which a script still read.</summary>
internal sealed class WorkerSideClosedException : Exception;
