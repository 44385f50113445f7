using System.Diagnostics;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
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

    /// <summary>Where it is kept until it has been consumed. Nobody waits for it there.</summary>
    private readonly Pipe _received = new(new(pauseWriterThreshold: 0, useSynchronizationContext: false));
    private readonly Lock _receiving = new();
    private bool _hasEnded;
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
        while (!_received.Reader.TryRead(out result))
        {
            if (TryReceive() == 0)
            {
                return false;
            }
        }

        return true;
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
        _turn < LongestTurn && !cancellationToken.IsCancellationRequested && TryRead(out ReadResult result) ? new(result) : WaitAndReadAsync(cancellationToken);

    public override void AdvanceTo(SequencePosition consumed) => _received.Reader.AdvanceTo(consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => _received.Reader.AdvanceTo(consumed, examined);

    public override void CancelPendingRead()
    {
        _received.Reader.CancelPendingRead();
        Signal.Wake();
    }

    public override void Complete(Exception? exception = null)
    {
        End(reason: null);
        _received.Reader.Complete(exception);
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
            _received.Writer.Complete(reason);
        }

        Signal.Wake();
        _onEnd();
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
        while (ahead < MostAhead && (count = TryReceive()) > 0)
        {
            ahead += count;
        }
    }

    /// <summary>Receives what is there.</summary>
    /// <returns>How much, and 1 for the end; 0 when there is nothing.</returns>
    private int TryReceive()
    {
        if (!Signal.TryTake())
        {
            return 0;
        }

        Exception? failure = null;
        lock (_receiving)
        {
            if (_hasEnded)
            {
                return 0;
            }

            Memory<byte> room = _received.Writer.GetMemory(_fills ? LargeReceive : UsualReceive);
            try
            {
                int count = _socket.Receive(room.Span, SocketFlags.None, out SocketError error);
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
                    _received.Writer.Advance(count);
                    ValueTask<FlushResult> kept = _received.Writer.FlushAsync();
                    Debug.Assert(kept.IsCompleted, "It has no bound that could make anybody wait.");
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

    private static ConnectionResetException ResetException(SocketError error)
    {
        SocketException exception = new((int)error);
        return new(exception.Message, exception);
    }
}
