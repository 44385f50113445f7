using System.Runtime.CompilerServices;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>A plain request's way to a worker and its response's way back, over one connection. One per connection, used again for each request.</summary>
internal sealed class PlainCall(WorkerConnection connection)
{
    private readonly ResponseReader _reader = new(connection);

    /// <summary>Sends a request, passes its response on, and gives the connection back.</summary>
    /// <param name="client">Whose request it is.</param>
    /// <param name="connections">Whose connection it is.</param>
    /// <param name="isKept">The connection had waited for a request: its end says nothing about the worker, and the request goes over a new one.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <exception cref="WorkerFailedException">The worker did not answer as it should.</exception>
    /// <exception cref="OperationCanceledException">The request was ended.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask RunAsync(IPlainClient client, WorkerConnections connections, bool isKept, CancellationToken cancellationToken)
    {
        connection.Begin();
        PlainResponse response = default;
        int unflushed = 0;
        CancellationTokenRegistration cancellation = cancellationToken.UnsafeRegister(static c => ((WorkerConnection)c!).Abort(), connection);
        try
        {
            Write(client);
            await connection.SendSoonAsync(isKept, client.MayBeSentAgain);
            _reader.Begin(client.Request.IsHead, upgrades: false);
            while (!_reader.TryReadHead())
            {
                int count;
                while ((count = connection.TryReceive()) < 0)
                {
                    await connection.WaitAsync();
                }

                if (count == 0)
                {
                    throw _reader.LostHead();
                }
            }

            bool hasPiece = _reader.TryReadPiece(out ReadOnlyMemory<byte> piece);
            response = PlainResponse.Begin(_reader, isEmpty: !hasPiece && _reader.HasEnded, client);
            while (true)
            {
                while (hasPiece)
                {
                    response.Write(client.Output, piece.Span);
                    unflushed += piece.Length;
                    hasPiece = _reader.TryReadPiece(out piece);
                }

                if (_reader.HasEnded)
                {
                    break;
                }

                if (unflushed >= WorkerCall.LargestUnflushed || !_reader.TryReceive())
                {
                    // The worker takes its time, and the client gets what there is, be it only the headers; or the client takes its time, and the worker must wait.
                    unflushed = 0;
                    await client.FlushAsync();
                    await _reader.ReceiveAsync();
                }

                hasPiece = _reader.TryReadPiece(out piece);
            }

            response.End(client.Output);

            // First, or the end of this request would be the next one's too.
            cancellation.Dispose();
            connections.GiveBack(connection, _reader.IsClean && connection.HasSent);
        }
        catch (Exception exception)
        {
            connection.Abort();
            if (cancellationToken.IsCancellationRequested)
            {
                throw new OperationCanceledException("The request was ended before its worker had answered.", exception, cancellationToken);
            }

            if (connection.TroubleOf(exception) is not { } trouble)
            {
                throw;
            }

            if (response.IsChunked && unflushed > 0)
            {
                // What has come of a stream is its client's, as if the end of the connection had come a moment later.
                await client.FlushAsync();
            }

            // In this order: what is still being sent on another thread is counted before it is said to have been sent.
            WorkerFailedException failure = new(trouble, exception) { NothingSent = connection.HasSent && connection.Sent == 0, CanRepeat = connection.Received == 0 };
            if (!isKept || !failure.CanRepeat)
            {
                throw failure;
            }

            await connections.SendOnNewAsync(new PlainClientCall(client), failure, cancellationToken);
        }
        finally
        {
            cancellation.Dispose();
        }
    }

    private void Write(IPlainClient client)
    {
        client.Request.Write(connection.Out, client);
        foreach (ReadOnlyMemory<byte> part in client.Body)
        {
            connection.Out.Write(part.Span);
        }
    }
}
