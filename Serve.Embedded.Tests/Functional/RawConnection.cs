using System.Net.Sockets;
using System.Text;

namespace Serve.Embedded.Tests.Functional;

/// <summary>Bytes over a socket, for what no HTTP client would send.</summary>
internal sealed class RawConnection(Socket socket) : IDisposable
{
    private readonly byte[] _buffer = new byte[64 * 1024];

    /// <summary>In which what comes is read.</summary>
    public Encoding Encoding { get; init; } = Encoding.UTF8;

    public async Task SendAsync(string text) => await socket.SendAsync(Encoding.Latin1.GetBytes(text), TestServer.Deadline);

    /// <summary>Reads until the text has come; returns all that was read by then.</summary>
    public async Task<string> ReadUntilAsync(string text)
    {
        StringBuilder read = new();
        while (!read.ToString().Contains(text, StringComparison.Ordinal))
        {
            int count = await socket.ReceiveAsync(_buffer, TestServer.Deadline);
            if (count == 0)
            {
                throw new InvalidOperationException($"The connection ended before '{text}' came; read: {read}");
            }

            read.Append(Encoding.GetString(_buffer, 0, count));
        }

        return read.ToString();
    }

    /// <summary>Reads until the other side closes; a reset counts as closed.</summary>
    public async Task<string> ReadToEndAsync() => (await ReadToHowItEndsAsync()).Read;

    /// <summary>Reads until the other side closes.</summary>
    public async Task<(string Read, bool IsReset)> ReadToHowItEndsAsync()
    {
        StringBuilder read = new();
        try
        {
            int count;
            while ((count = await socket.ReceiveAsync(_buffer, TestServer.Deadline)) > 0)
            {
                read.Append(Encoding.GetString(_buffer, 0, count));
            }
        }
        catch (SocketException)
        {
            return (read.ToString(), true);
        }

        return (read.ToString(), false);
    }

    /// <summary>Reads so much, or what comes before the other side closes, and keeps nothing of it.</summary>
    /// <returns>How much came.</returns>
    public async Task<long> SkipAsync(long most)
    {
        long read = 0;
        int count;
        while (read < most && (count = await socket.ReceiveAsync(_buffer, TestServer.Deadline)) > 0)
        {
            read += count;
        }

        return read;
    }

    public void Dispose() => socket.Dispose();
}
