using System.Net.Sockets;
using System.Text;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>The server's own questions to a worker: each over a connection of its own, so that they say how the worker is and not how an old connection was.</summary>
internal sealed class WorkerProbe(WorkerConnector connector, string? token)
{
    /// <summary>What is read of an answer's body: enough to say what is wrong.</summary>
    private const int LargestExcerpt = 4 * 1024;

    /// <exception cref="WorkerFailedException">The worker did not answer as it should.</exception>
    public async Task<WorkerAnswer> AskAsync(string method, string path, ReadOnlyMemory<byte>? json, CancellationToken cancellationToken)
    {
        using WorkerConnection connection = await connector.ConnectAsync(cancellationToken);
        using CancellationTokenRegistration cancellation = cancellationToken.UnsafeRegister(static c => ((WorkerConnection)c!).Abort(), connection);
        try
        {
            WriteRequest(connection.Out, method, path, token, json);
            await connection.SendAsync();
            ResponseReader reader = new(connection);
            await reader.ReadHeadAsync(answersHead: false, upgrades: false);
            WorkerAnswer answer = new(reader.Head.StatusCode, await ReadExcerptAsync(reader));

            // Who asks goes on in the thread pool: he may look at files next.
            await Task.Yield();
            return answer;
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException or ConnectionLostException or BadAnswerException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new WorkerFailedException(exception switch
            {
                BadAnswerException => $"The worker's answer to {method} {path} is not valid HTTP/1.1: {exception.Message}.",
                _ => $"{method} {path}: {exception.Message}",
            }, exception);
        }
    }

    private static void WriteRequest(WireBuffer buffer, string method, string path, string? token, ReadOnlyMemory<byte>? json)
    {
        buffer.Write(method);
        buffer.Write(" "u8);
        buffer.Write(path);
        buffer.Write(" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Serve.Embedded\r\nConnection: close\r\n"u8);
        if (token is not null)
        {
            buffer.Write(PythonHost.TokenHeader);
            buffer.Write(": "u8);
            buffer.Write(token);
            buffer.Write("\r\n"u8);
        }

        if (json is { } body)
        {
            buffer.Write("Content-Type: application/json\r\nContent-Length: "u8);
            buffer.Write(body.Length);
            buffer.Write("\r\n\r\n"u8);
            buffer.Write(body.Span);
        }
        else
        {
            buffer.Write("\r\n"u8);
        }
    }

    private static async Task<string> ReadExcerptAsync(ResponseReader reader)
    {
        StringBuilder text = new();
        while (true)
        {
            while (reader.TryReadPiece(out ReadOnlyMemory<byte> piece))
            {
                text.Append(Encoding.UTF8.GetString(piece.Span[..Math.Min(piece.Length, LargestExcerpt - text.Length)]));
                if (text.Length >= LargestExcerpt)
                {
                    return text.ToString();
                }
            }

            if (reader.HasEnded)
            {
                return text.ToString();
            }

            await reader.ReceiveAsync();
        }
    }
}
