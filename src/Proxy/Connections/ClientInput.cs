using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using Microsoft.AspNetCore.Connections;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Proxy;

/// <summary>What a client sends. Who reads it receives it from the socket himself, and waits only when there is nothing to be received.</summary>
internal sealed class ClientInput : PipeReader
{
    private const int UsualReceive = 2 * 1024;
    private const int LargeReceive = 32 * 1024;

    /// <summary>A client that sends faster than its requests are handled would have the thread to itself, and everybody else on it would wait: after so much the reader goes on in the thread pool.</summary>
    private const int LongestTurn = 64 * 1024;

    /// <summary>How much of what a client sent before it closed the connection is received unasked.</summary>
    private const int MostAhead = 1024 * 1024;

    private readonly Socket _socket;
    private readonly Action _onEnd;

    private readonly Lock _receiving = new();

    /// <summary>What was received and not consumed, in memory of the shared pool: a pipe would take a lock for each of its six steps. There is none while nothing is kept.</summary>
    private byte[]? _kept;
    private int _start;
    private int _end;

    /// <summary>Up to where the reader has looked: he is not given the same again without more.</summary>
    private int _examined;

    /// <summary>What the reader looks at, until he says how much of it he has consumed.</summary>
    private byte[]? _lent;
    private int _lentStart;

    private Exception? _reason;
    private bool _hasEnded;
    private bool _isCancelled;
    private bool _isComplete;
    private bool _isDropped;
    private bool _fills;
    private int _turn;

    /// <param name="socket">Its blocking calls return at once when there is nothing to do.</param>
    /// <param name="continuesHere">Whether a reader that waits goes on at once, on the thread that learns of it, and not in the thread pool.</param>
    /// <param name="onEnd">Runs when nothing more will come, on any thread, none of which may be kept.</param>
    public ClientInput(Socket socket, bool continuesHere, Action onEnd)
    {
        _socket = socket;
        _onEnd = onEnd;
        Signal = new(continuesHere, ReceiveAhead);
    }

    /// <summary>Tells it that there is something to receive.</summary>
    public ReadSignal Signal { get; }

    public override bool TryRead(out ReadResult result)
    {
        // A look without the lock: whoever changes any of this sets the signal after it, which is taken next.
        if ((_end > _examined || _hasEnded || _isCancelled) && TryLend(out result))
        {
            return true;
        }

        if (!Signal.TryTake())
        {
            result = default;
            return false;
        }

        // It may have been set for another reason than that there is something to receive: that is looked for too, or who waits now would never be told of it.
        Receive();
        return TryLend(out result);
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
        _turn < LongestTurn && !cancellationToken.IsCancellationRequested && TryRead(out ReadResult result) ? new(result) : WaitAndReadAsync(cancellationToken);

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        lock (_receiving)
        {
            if (_lent is null || _isComplete)
            {
                // Nothing was lent, as when the end alone was told.
                return;
            }

            int before = _start;
            _start += consumed.GetInteger() - _lentStart;
            _examined = Math.Max(_start, before + examined.GetInteger() - _lentStart);
            Release();
        }
    }

    public override void CancelPendingRead()
    {
        lock (_receiving)
        {
            _isCancelled = true;
        }

        Signal.Wake();
    }

    public override void Complete(Exception? exception = null)
    {
        End(reason: null);
        lock (_receiving)
        {
            _isComplete = true;
            _start = _end;
            Release();
        }
    }

    /// <summary>Nothing more comes; what was received can still be read.</summary>
    /// <param name="reason">What the reader is told after that; <see langword="null"/> = just that it is the end.</param>
    public void End(Exception? reason)
    {
        lock (_receiving)
        {
            if (_hasEnded)
            {
                return;
            }

            _hasEnded = true;
            _reason = reason;

            // Before any reader can know of it: who is told that the rest does not come asks whether the client has left.
            _onEnd();
        }

        Signal.Wake();
    }

    /// <summary>After the end: what was received is not to be read any more.</summary>
    public void Drop()
    {
        lock (_receiving)
        {
            _isDropped = true;
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadResult> WaitAndReadAsync(CancellationToken cancellationToken)
    {
        if (_turn >= LongestTurn)
        {
            await Task.Yield();
            _turn = 0;
        }

        using CancellationTokenRegistration wake = cancellationToken.UnsafeRegister(static signal => ((ReadSignal)signal!).Wake(), Signal);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TryRead(out ReadResult result))
            {
                return result;
            }

            _turn = 0;
            await Signal.WaitAsync();
        }
    }

    /// <summary>
    /// The client has closed the connection, if only its half. Perhaps nobody reads now, but whoever handles its request is to know that it has left, as Kestrel has it: that is when all that it sent before
    /// has been received. Before it closes nothing is received ahead; what it sends for a request that waits is kept by the kernel, and its window stops it.
    /// </summary>
    private void ReceiveAhead()
    {
        int ahead = 0;
        int count;
        while (ahead < MostAhead && Signal.TryTake() && (count = Receive()) > 0)
        {
            ahead += count;
        }
    }

    /// <summary>Receives what is there. For who has taken the signal.</summary>
    /// <returns>How much, and 1 for the end; 0 when there is nothing.</returns>
    private int Receive()
    {
        Exception? failure = null;
        lock (_receiving)
        {
            if (_hasEnded)
            {
                return 0;
            }

            Span<byte> room = Room(_fills ? LargeReceive : UsualReceive);
            try
            {
                int count = _socket.Receive(room, SocketFlags.None, out SocketError error);
                if (error is SocketError.WouldBlock or SocketError.OperationAborted)
                {
                    return 0;
                }

                if (error != SocketError.Success)
                {
                    failure = ResetException(error);
                }
                else if (count > 0)
                {
                    _fills = count == room.Length;
                    if (_fills)
                    {
                        // There may be more, of which nobody will tell again.
                        Signal.SetAgain();
                    }

                    _turn += count;
                    _end += count;
                    return count;
                }
            }
            catch (ObjectDisposedException)
            {
                // It is being aborted, and whoever does that says why.
                return 0;
            }
        }

        End(failure);
        return 1;
    }

    /// <summary>Shows the reader what he has not seen, be it only the end or that he was called off.</summary>
    private bool TryLend(out ReadResult result)
    {
        lock (_receiving)
        {
            if (_isComplete)
            {
                throw new InvalidOperationException("The input of a connection was read after it had been completed.");
            }

            if (_reason is not null)
            {
                ExceptionDispatchInfo.Throw(_reason);
            }

            bool isNew = _end > _examined || _hasEnded || _isCancelled;
            result = isNew ? LendUnsynchronized() : default;
            return isNew;
        }
    }

    private ReadResult LendUnsynchronized()
    {
        bool isThere = _end > _start && !_isDropped;
        ReadOnlySequence<byte> sequence = isThere ? new(_kept!, _start, _end - _start) : default;
        _lent = isThere ? _kept : null;
        _lentStart = _start;
        ReadResult result = new(sequence, _isCancelled, _hasEnded);
        _isCancelled = false;
        return result;
    }

    /// <summary>Gives memory back in which nothing is left to be read.</summary>
    private void Release()
    {
        if (_lent is not null && _lent != _kept)
        {
            ArrayPool<byte>.Shared.Return(_lent);
        }

        _lent = null;
        if (_kept is not null && _start == _end)
        {
            ArrayPool<byte>.Shared.Return(_kept);
            _kept = null;
            _start = _end = _examined = 0;
        }
    }

    /// <summary>Where the next bytes go: behind the others, since a reader who has not consumed them is shown all of them in one piece.</summary>
    private Span<byte> Room(int wanted)
    {
        int kept = _end - _start;
        if (_kept is null)
        {
            _kept = ArrayPool<byte>.Shared.Rent(wanted);
        }
        else if (_kept.Length - _end < wanted)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(Math.Max(kept + (long)wanted, 2L * kept), Array.MaxLength));
            _kept.AsSpan(_start, kept).CopyTo(larger);
            if (_kept != _lent)
            {
                ArrayPool<byte>.Shared.Return(_kept);
            }

            _kept = larger;
            _examined -= _start;
            _start = 0;
            _end = kept;
        }

        return _kept.AsSpan(_end, wanted);
    }

    private static ConnectionResetException ResetException(SocketError error)
    {
        SocketException exception = new((int)error);
        return new(exception.Message, exception);
    }
}
