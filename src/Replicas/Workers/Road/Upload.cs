using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>Sends a request's body to a worker as it comes from the client, while the worker may already answer.</summary>
internal sealed class Upload(WorkerConnection connection, IFeatureCollection features, BodyFraming framing, KeptBody kept)
{
    /// <summary>What is read and sent in one step.</summary>
    private const int LargestPiece = 32 * 1024;

    private readonly PipeReader _reader = features.GetRequiredFeature<IRequestBodyPipeFeature>().Reader;
    private bool _stopped;
    private bool _hasEnded;
    private bool _isComplete;

    /// <summary>What the client has done wrong, or that it has left.</summary>
    public Exception? ClientFailure { get; private set; }

    /// <summary>The worker has the whole body.</summary>
    public bool IsComplete => Volatile.Read(ref _isComplete);

    /// <summary>All of the body was read from the client.</summary>
    public bool HasEnded => Volatile.Read(ref _hasEnded);

    /// <summary>Sends until the end, until the worker takes no more, or until it is stopped. Throws nothing; a client's failure closes the worker's connection.</summary>
    public async Task RunAsync()
    {
        try
        {
            await SendAsync();
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The worker takes no more. What it answers says why, or that it is gone.
        }
#pragma warning disable CA1031 // It is the request's failure, and is thrown by whoever awaits its response.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            ClientFailure = exception;
            connection.Abort();
        }
    }

    /// <summary>Makes <see cref="RunAsync"/> end soon; the connection is to be aborted too.</summary>
    public void Stop()
    {
        Volatile.Write(ref _stopped, true);
        _reader.CancelPendingRead();
    }

    private async Task SendAsync()
    {
        WireBuffer buffer = connection.Out;
        buffer.Clear();
        if (!kept.Bytes.IsEmpty)
        {
            AddPiece(new(kept.Bytes), keep: false);
            await connection.SendAsync();
            buffer.Clear();
        }

        while (!kept.HasEnded)
        {
            ReadResult result = await _reader.ReadAsync();
            if (Volatile.Read(ref _stopped))
            {
                _reader.AdvanceTo(result.Buffer.Start);
                return;
            }

            ReadOnlySequence<byte> piece = result.Buffer.Slice(0, Math.Min(result.Buffer.Length, LargestPiece));
            AddPiece(piece, keep: true);
            kept.HasEnded = result.IsCompleted && piece.Length == result.Buffer.Length;
            _reader.AdvanceTo(piece.End);
            if (kept.HasEnded)
            {
                break;
            }

            await connection.SendAsync();
            buffer.Clear();
        }

        Volatile.Write(ref _hasEnded, true);
        if (framing.IsChunked)
        {
            AddEnd(buffer);
        }

        await connection.SendAsync();
        Volatile.Write(ref _isComplete, true);
    }

    private void AddPiece(ReadOnlySequence<byte> piece, bool keep)
    {
        WireBuffer buffer = connection.Out;
        bool framed = framing.IsChunked && !piece.IsEmpty;
        if (framed)
        {
            buffer.Write(piece.Length, "x");
            buffer.Write("\r\n"u8);
        }

        foreach (ReadOnlyMemory<byte> part in piece)
        {
            buffer.Write(part.Span);
            if (keep)
            {
                kept.Add(part.Span);
            }
        }

        if (framed)
        {
            buffer.Write("\r\n"u8);
        }
    }

    private void AddEnd(WireBuffer buffer)
    {
        buffer.Write("0\r\n"u8);
        if (features.Get<IHttpRequestTrailersFeature>() is { Available: true } trailers)
        {
            foreach (KeyValuePair<string, StringValues> trailer in trailers.Trailers)
            {
                if (!HopByHop.Is(trailer.Key) && !RequestHead.Frames(trailer.Key))
                {
                    RequestHead.WriteHeader(trailer.Key, trailer.Value, buffer);
                }
            }
        }

        buffer.Write("\r\n"u8);
    }
}
