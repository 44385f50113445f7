using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>One request's way to a worker and its response's way back, over one connection. One per connection, used again for each request.</summary>
internal sealed class WorkerCall(WorkerConnection connection)
{
    /// <summary>A body of at most this goes out in one piece with its head, if it has come.</summary>
    private const int LargestInline = 16 * 1024;

    /// <summary>More of a response than this is not held back to be sent together with what comes next.</summary>
    public const int LargestUnflushed = 32 * 1024;

    /// <summary>What a pipe gives without making a block of its own.</summary>
    private const int OneBlock = 4096;

    private readonly ResponseReader _reader = new(connection);
    private Upload? _upload;
    private Task _uploading = Task.CompletedTask;
    private KeptBody? _kept;
    private int _inlineBody;
    private bool _responseBegun;
    private bool _hasFlushed;

    /// <summary>Sends a request, passes its response on, and gives the connection back.</summary>
    /// <exception cref="WorkerFailedException">The worker did not answer as it should.</exception>
    /// <exception cref="OperationCanceledException">The request was ended.</exception>
    public async ValueTask RunAsync(IFeatureCollection features, WorkerConnections connections, CancellationToken cancellationToken)
    {
        connection.Begin();
        _upload = null;
        _uploading = Task.CompletedTask;
        _kept = null;
        _inlineBody = 0;
        _responseBegun = false;
        _hasFlushed = false;
        CancellationTokenRegistration cancellation = cancellationToken.UnsafeRegister(static c => ((WorkerConnection)c!).Abort(), connection);
        try
        {
            IHttpRequestFeature request = features.GetRequiredFeature<IHttpRequestFeature>();
            BodyFraming framing = BodyFraming.Of(request.Headers);
            UpgradeOffer? upgrade = framing.HasBody ? null : UpgradeOffer.Of(features, request.Headers);
            RequestHead.Write(features, request, framing, upgrade, connection.Out);
            if (framing.HasBody && !AddBody(features, framing))
            {
                await connection.SendAsync();
                _upload = new(connection, features, framing, _kept!);
                _uploading = _upload.RunAsync();
            }
            else
            {
                await connection.SendAsync();
            }

            await _reader.ReadHeadAsync(HttpMethods.IsHead(request.Method), upgrade is not null);
            upgrade?.ThrowIfNotAnswered(_reader);
            bool hasBody = HasBody(_reader.Head.StatusCode);
            bool withTrailers = Trailers.ArePassedOn(request, _reader.Head, hasBody);
            IHttpResponseFeature response = features.GetRequiredFeature<IHttpResponseFeature>();
            ResponseHeadWriter.Write(features, _reader, response, _upload is { HasEnded: false }, withTrailers);
            if (_reader.Head.StatusCode == StatusCodes.Status101SwitchingProtocols)
            {
                _responseBegun = true;
                await Tunnel.RunAsync(await upgrade!.AcceptAsync(response), connection, cancellationToken);
                connections.GiveBack(connection, canCarryAnother: false);
                return;
            }

            PipeWriter writer = features.GetRequiredFeature<IHttpResponseBodyFeature>().Writer;
            await PassBodyAsync(writer, hasBody, withTrailers);
            if (withTrailers)
            {
                Trailers.End(writer, _reader.Trailers);
            }

            if (_hasFlushed && (withTrailers || _reader.Head.ContentLength is not null))
            {
                // Kestrel flushes with the end of a response only what it frames itself, or has sent nothing of.
                await writer.FlushAsync(CancellationToken.None);
            }

            bool canCarryAnother = await EndUploadAsync() && _reader.IsClean;

            // First, or the end of this request would be the next one's too.
            cancellation.Dispose();
            connections.GiveBack(connection, canCarryAnother);
        }
        catch (Exception exception)
        {
            connection.Abort();
            _upload?.Stop();
            await _uploading;
            if (Translate(exception, features, cancellationToken) is { } other)
            {
                throw other;
            }

            throw;
        }
        finally
        {
            cancellation.Dispose();
        }
    }

    /// <summary>What the server lets a response with this status have. (Whether a worker sends something is its framing's matter.)</summary>
    public static bool HasBody(int statusCode) => statusCode is not (StatusCodes.Status204NoContent or StatusCodes.Status205ResetContent or StatusCodes.Status304NotModified);

    /// <summary>Adds a small body behind the head, if the whole of it is here.</summary>
    private bool AddBody(IFeatureCollection features, BodyFraming framing)
    {
        _kept = features.Get<KeptBody>();
        if (_kept is null)
        {
            if (framing.Length is { } length and <= LargestInline)
            {
                PipeReader reader = features.GetRequiredFeature<IRequestBodyPipeFeature>().Reader;
                if (reader.TryRead(out ReadResult result))
                {
                    if (result.Buffer.Length == length)
                    {
                        foreach (ReadOnlyMemory<byte> part in result.Buffer)
                        {
                            connection.Out.Write(part.Span);
                        }

                        _inlineBody = (int)length;
                        reader.AdvanceTo(result.Buffer.End);
                        return true;
                    }

                    reader.AdvanceTo(result.Buffer.Start);
                }
            }

            _kept = new();
            return false;
        }

        if (_kept.HasEnded && !framing.IsChunked)
        {
            connection.Out.Write(_kept.Bytes.Span);
            return true;
        }

        return false;
    }

    /// <param name="writer">The client's response.</param>
    /// <param name="pass">Whether it has a body.</param>
    /// <param name="inChunks">Whether its chunks are made here.</param>
    private async ValueTask PassBodyAsync(PipeWriter writer, bool pass, bool inChunks)
    {
        int unflushed = 0;
        while (true)
        {
            while (_reader.TryReadPiece(out ReadOnlyMemory<byte> piece))
            {
                if (pass)
                {
                    _responseBegun = true;
                    unflushed += piece.Length;
                    if (inChunks)
                    {
                        Trailers.BeginChunk(writer, piece.Length);
                        Write(writer, piece.Span);
                        Trailers.EndChunk(writer);
                    }
                    else
                    {
                        Write(writer, piece.Span);
                    }
                }
            }

            if (_reader.HasEnded)
            {
                return;
            }

            if (unflushed >= LargestUnflushed || !_reader.TryReceive())
            {
                // The worker takes its time, and the client gets what there is, be it only the headers; or the client takes its time, and the worker must wait.
                _responseBegun = true;
                unflushed = 0;
                _hasFlushed = true;
                await writer.FlushAsync();
                await _reader.ReceiveAsync();
            }
        }
    }

    private static void Write(PipeWriter writer, ReadOnlySpan<byte> piece)
    {
        while (!piece.IsEmpty)
        {
            int count = Math.Min(piece.Length, OneBlock);
            piece[..count].CopyTo(writer.GetSpan(count));
            writer.Advance(count);
            piece = piece[count..];
        }
    }

    /// <summary>The response is passed on: what is left of the request has no use any more.</summary>
    /// <returns>Whether the worker has had the whole request.</returns>
    private async ValueTask<bool> EndUploadAsync()
    {
        if (_upload is null)
        {
            return true;
        }

        if (!_upload.IsComplete)
        {
            connection.Abort();
            _upload.Stop();
            await _uploading;
            return false;
        }

        await _uploading;
        return true;
    }

    /// <summary>What an exception means to whoever sent the request; <see langword="null"/> if just what it says.</summary>
    private Exception? Translate(Exception exception, IFeatureCollection features, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return new OperationCanceledException("The request was ended before its worker had answered.", exception, cancellationToken);
        }

        if (_upload?.ClientFailure is { } failure)
        {
            return failure;
        }

        return connection.TroubleOf(exception) is not { } message ? null : new WorkerFailedException(message, exception)
        {
            NothingSent = connection.Sent == 0,
            CanRepeat = connection.Received == 0 && !_responseBegun && KeepBody(features),
        };
    }

    /// <summary>Leaves the request's body to the next try.</summary>
    /// <returns>Whether there is a next try: the body is untouched or wholly kept.</returns>
    private bool KeepBody(IFeatureCollection features)
    {
        if (_inlineBody > 0)
        {
            _kept = new() { HasEnded = true };
            _kept.Add(connection.Out.WrittenSpan[^_inlineBody..]);
        }

        if (_kept is null)
        {
            return true;
        }

        if (!_kept.IsWhole)
        {
            return false;
        }

        features.Set(_kept);
        return true;
    }
}
