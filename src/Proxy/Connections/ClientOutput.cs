using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace Serve.Embedded.Proxy;

/// <summary>What a client is sent. A flush gives it to the socket at once, and waits only for a client that takes it more slowly than it comes.</summary>
/// <param name="socket">Its blocking calls return at once when there is nothing to do.</param>
/// <param name="onBroken">Runs when the client takes no more.</param>
internal sealed class ClientOutput(Socket socket, Action<SocketException> onBroken) : PipeWriter
{
    private const int FirstBuffer = 4 * 1024;
    private const int NextBuffer = 64 * 1024;

    /// <summary>Buffers that are full, before <see cref="_buffer"/>.</summary>
    private List<ArraySegment<byte>>? _full;
    private byte[]? _buffer;
    private int _length;
    private long _unflushed;
    private volatile bool _isBroken;
    private CancellationTokenSource? _flush;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _unflushed;

    /// <summary>Completes when all that was flushed has been sent, or cannot be.</summary>
    public Task Sending { get; private set; } = Task.CompletedTask;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        MakeRoom(sizeHint);
        return _buffer.AsMemory(_length);
    }

    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        MakeRoom(sizeHint);
        return _buffer.AsSpan(_length);
    }

    public override void Advance(int bytes)
    {
        _length += bytes;
        _unflushed += bytes;
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        if (Sending.IsCompleted && _full is null && TrySend())
        {
            return new(new FlushResult(isCanceled: false, _isBroken));
        }

        Sending = SendAsync(TakeAll(), Sending);
        return WaitAsync(cancellationToken);
    }

    public override void CancelPendingFlush()
    {
        try
        {
            Volatile.Read(ref _flush)?.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It has just ended.
        }
    }

    public override void Complete(Exception? exception = null)
    {
        if (exception is null && _unflushed > 0)
        {
            Sending = SendAsync(TakeAll(), Sending);
        }
    }

    /// <summary>Forgets what was written and not flushed.</summary>
    public void TakeBack()
    {
        foreach (ArraySegment<byte> buffer in TakeAll())
        {
            ArrayPool<byte>.Shared.Return(buffer.Array!);
        }
    }

    /// <summary>The connection is gone: nothing more is sent.</summary>
    public void Break() => _isBroken = true;

    /// <summary>What nearly every response is: one buffer, which the kernel takes whole.</summary>
    /// <returns>Whether nothing is left.</returns>
    private bool TrySend()
    {
        if (_length > 0 && !_isBroken)
        {
            int sent = 0;
            try
            {
                sent = socket.Send(_buffer.AsSpan(0, _length), SocketFlags.None, out SocketError error);
                if (error is not (SocketError.Success or SocketError.WouldBlock))
                {
                    Fail(new((int)error));
                }
            }
            catch (ObjectDisposedException)
            {
                _isBroken = true;
            }

            if (sent < _length && !_isBroken)
            {
                sent = Math.Max(sent, 0);
                _length -= sent;
                Buffer.BlockCopy(_buffer!, sent, _buffer!, 0, _length);
                return false;
            }
        }

        if (_buffer is not null)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
        }

        Forget();
        return true;
    }

    private List<ArraySegment<byte>> TakeAll()
    {
        List<ArraySegment<byte>> all = _full ?? [];
        if (_buffer is not null)
        {
            all.Add(new(_buffer, 0, _length));
        }

        _full = null;
        Forget();
        return all;
    }

    private void Forget()
    {
        _buffer = null;
        _length = 0;
        _unflushed = 0;
    }

    private async Task SendAsync(List<ArraySegment<byte>> buffers, Task before)
    {
        await before;
        try
        {
            foreach (ArraySegment<byte> buffer in buffers)
            {
                for (Memory<byte> rest = buffer; !rest.IsEmpty && !_isBroken;)
                {
                    rest = rest[await socket.SendAsync(rest)..];
                }
            }
        }
        catch (SocketException exception)
        {
            Fail(exception);
        }
        catch (ObjectDisposedException)
        {
            _isBroken = true;
        }

        foreach (ArraySegment<byte> buffer in buffers)
        {
            ArrayPool<byte>.Shared.Return(buffer.Array!);
        }
    }

    /// <summary>Waits until everything has been sent. Who is not let wait to the end has still flushed.</summary>
    private async ValueTask<FlushResult> WaitAsync(CancellationToken cancellationToken)
    {
        if (!Sending.IsCompleted)
        {
            using CancellationTokenSource flush = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            Volatile.Write(ref _flush, flush);
            try
            {
                await Sending.WaitAsync(flush.Token);
            }
            catch (OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                return new(isCanceled: true, isCompleted: false);
            }
            finally
            {
                Volatile.Write(ref _flush, null);
            }
        }

        return new(isCanceled: false, _isBroken);
    }

    private void Fail(SocketException exception)
    {
        if (!_isBroken)
        {
            _isBroken = true;
            onBroken(exception);
        }
    }

    private void MakeRoom(int sizeHint)
    {
        int needed = Math.Max(sizeHint, 1);
        if (_buffer is null)
        {
            _buffer = ArrayPool<byte>.Shared.Rent(Math.Max(needed, FirstBuffer));
        }
        else if (_buffer.Length - _length < needed)
        {
            (_full ??= []).Add(new(_buffer, 0, _length));
            _buffer = ArrayPool<byte>.Shared.Rent(Math.Max(needed, NextBuffer));
            _length = 0;
        }
    }
}
