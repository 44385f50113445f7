using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>One connection to a worker with its buffers. It carries one request at a time.</summary>
internal sealed class WorkerConnection : IThreadPoolWorkItem, IDisposable
{
    private const int UsualReceive = 8 * 1024;

    /// <summary>A head must fit, and a body goes through in pieces of this.</summary>
    private const int LargestReceive = ResponseHead.LargestHead;

    /// <summary>Whoever receives this much without having to wait lets others have the thread: a worker that sends without end must not keep it.</summary>
    private const int LongestTurn = 256 * 1024;

    /// <summary>What is in <see cref="Out"/> is to be sent soon.</summary>
    private const int IsDue = 1;

    /// <summary>It is being sent.</summary>
    private const int IsUnderWay = 2;

    private readonly Socket _socket;
    private readonly ReadSignal _signal;
    private EventLoop _loop;
    private ulong _registration;
    private WorkerCall? _call;
    private PlainCall? _plainCall;
    private int _turn;
    private int _send;
    private bool _isKept;
    private bool _canRepeat;
    private Task _sending = Task.CompletedTask;
    private Exception? _sendFailure;
    private byte[] _received = new byte[UsualReceive];
    private int _start;
    private int _end;

    /// <param name="socket">Connected; its blocking calls return at once when there is nothing to do.</param>
    /// <param name="loop">Says when there is something to read.</param>
    public WorkerConnection(Socket socket, EventLoop loop)
    {
        _socket = socket;
        socket.Blocking = false;
        _signal = new(loop.ContinuesHere);
        _loop = loop;
        _registration = loop.Add(socket, _signal);
    }

    /// <summary>Which loop's it is.</summary>
    public EventLoop Loop => _loop;

    /// <summary>What runs a request over this connection.</summary>
    public WorkerCall Call => _call ??= new(this);

    /// <summary>What runs a plain request over it.</summary>
    public PlainCall PlainCall => _plainCall ??= new(this);

    /// <summary>What is to be sent.</summary>
    public WireBuffer Out { get; } = new(2 * 1024);

    /// <summary>When it was last given back, by the pool's clock.</summary>
    public long IdleSince { get; set; }

    /// <summary>Bytes sent for the request that it carries.</summary>
    public long Sent { get; private set; }

    /// <summary>Bytes received for the request that it carries.</summary>
    public long Received { get; private set; }

    /// <summary>What has come and was not consumed.</summary>
    public ReadOnlyMemory<byte> Unread => _received.AsMemory(_start, _end - _start);

    public ReadOnlySpan<byte> UnreadSpan => _received.AsSpan(_start, _end - _start);

    /// <summary>The worker has ended the connection, or says what nobody asked for. The socket itself is asked: what was told may have been read already, together with what came before it.</summary>
    private bool HasSpoken
    {
        get
        {
            try
            {
                return _signal.HasEnded || _socket.Poll(0, SelectMode.SelectRead);
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                return true;
            }
        }
    }

    /// <summary>All that was to be sent has been.</summary>
    public bool HasSent => _sending.IsCompleted;

    /// <summary>
    /// Whether an idle connection can carry another request: not one that has something to read, which has ended, or says what must not pass for the next answer. It may have come a moment ago and not
    /// be told yet. So the socket is asked, except where <see cref="SendSoonAsync"/> looks once more before anything is sent, and nothing was told so far.
    /// </summary>
    /// <param name="sendsSoon">That is how the request is sent, from the loop whose thread this is.</param>
    public bool IsUsable(bool sendsSoon) =>
        _start == _end && ((sendsSoon && EventLoop.Current == _loop && !_loop.MayHaveNews(_registration) && !_signal.TryTake()) || !HasSpoken);

    /// <summary>Goes over to the loop that has its next request, while it is idle: both sides of a request are best on one core.</summary>
    /// <param name="loop">Which; <see langword="null"/> = it stays.</param>
    /// <returns>Whether it is still of use.</returns>
    public bool TryMoveTo(EventLoop? loop)
    {
        if (loop is null || loop == _loop)
        {
            return true;
        }

        try
        {
            _registration = loop.TakeOver(_loop, _registration, _socket, _signal);
            _loop = loop;
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Forgets what the last request was.</summary>
    public void Begin()
    {
        Sent = 0;
        Received = 0;
        _turn = 0;
        Out.Clear();
        if (_received.Length > UsualReceive)
        {
            _received = new byte[UsualReceive];
        }

        _start = 0;
        _end = 0;
    }

    /// <summary>Sends what is in <see cref="Out"/>.</summary>
    /// <exception cref="SocketException">The worker takes no more.</exception>
    public ValueTask SendAsync()
    {
        ReadOnlyMemory<byte> bytes = Out.Written;
        int sent = _socket.Send(bytes.Span, SocketFlags.None, out SocketError error);
        if (error == SocketError.Success)
        {
            Sent += sent;
            if (sent == bytes.Length)
            {
                return ValueTask.CompletedTask;
            }
        }
        else if (error != SocketError.WouldBlock)
        {
            throw new SocketException((int)error);
        }

        return SendRestAsync(bytes[Math.Max(sent, 0)..]);
    }

    /// <summary>
    /// Sends what is in <see cref="Out"/>, on its event loop at the end of the turn: a worker that is woken by the first of several requests and reads them all is woken once. Nothing is sent to one that
    /// has spoken since it answered the last one. What goes wrong is told to who receives.
    /// </summary>
    /// <param name="isKept">The connection has had a request before. What a worker says first on a new one is for this request all the same.</param>
    /// <param name="canRepeat">The request can be sent again if the worker has closed the connection and that was not told yet.</param>
    public ValueTask SendSoonAsync(bool isKept, bool canRepeat)
    {
        if (EventLoop.Current != _loop)
        {
            return SendAsync();
        }

        _isKept = isKept;
        _canRepeat = canRepeat;
        Volatile.Write(ref _send, IsDue);
        _loop.AtEndOfTurn(this);
        return ValueTask.CompletedTask;
    }

    /// <summary>The end of the turn: sends what is to be sent soon.</summary>
    public void Execute() => SendDue(mayHaveSpoken: !_canRepeat || _loop.MayHaveNews(_registration));

    private void SendDue(bool mayHaveSpoken)
    {
        if (Interlocked.CompareExchange(ref _send, IsUnderWay, IsDue) != IsDue)
        {
            return;
        }

        Exception? failure = null;
        try
        {
            if (_isKept && mayHaveSpoken && HasSpoken)
            {
                throw new ConnectionLostException("The worker closed the connection, or spoke, before it was asked.");
            }

            ValueTask sending = SendAsync();
            if (!sending.IsCompletedSuccessfully)
            {
                _sending = WatchAsync(sending);
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException or ConnectionLostException)
        {
            failure = exception;
        }

        Volatile.Write(ref _send, 0);
        if (failure is not null)
        {
            Fail(failure);
        }
    }

    /// <summary>Sends bytes of an upgraded connection.</summary>
    public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _socket.SendAsync(bytes)..];
        }
    }

    public void Consume(int count) => _start += count;

    /// <summary>Receives what is there already.</summary>
    /// <returns>How many bytes; 0 if the worker has closed the connection; -1 if there is nothing yet.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    public int TryReceive()
    {
        if (_turn >= LongestTurn || !_signal.TryTake())
        {
            return -1;
        }

        // It was told of something before the end of the turn.
        SendDue(mayHaveSpoken: true);
        SpinWait spin = default;
        while (Volatile.Read(ref _send) == IsUnderWay)
        {
            // On another thread, a moment ago: what is told of it must be known first.
            spin.SpinOnce(sleep1Threshold: -1);
        }

        if (_sendFailure is not null)
        {
            throw _sendFailure;
        }

        MakeRoom();
        Span<byte> room = _received.AsSpan(_end);
        int count = _socket.Receive(room, SocketFlags.None, out SocketError error);
        if (error == SocketError.WouldBlock)
        {
            return -1;
        }

        if (error != SocketError.Success)
        {
            throw new SocketException((int)error);
        }

        if (count == room.Length)
        {
            // There may be more, of which nobody will tell again.
            _signal.SetAgain();
        }

        _end += count;
        _turn += count;
        Received += count;
        return count;
    }

    /// <summary>Receives more; 0 if the worker has closed the connection.</summary>
    /// <exception cref="SocketException">The connection is broken.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> ReceiveAsync()
    {
        int count;
        while ((count = TryReceive()) < 0)
        {
            await WaitAsync();
        }

        return count;
    }

    /// <summary>Completes when <see cref="TryReceive"/> is worth a try.</summary>
    public ValueTask WaitAsync()
    {
        if (_turn >= LongestTurn)
        {
            return LetOthersAsync();
        }

        _turn = 0;
        return _signal.WaitAsync();
    }

    /// <summary>What an exception says about the worker, in a sentence; <see langword="null"/> = nothing, it is somebody else's.</summary>
    public string? TroubleOf(Exception exception) => exception switch
    {
        BadAnswerException => $"The worker's answer is not valid HTTP/1.1: {exception.Message}.",
        ConnectionLostException => exception.Message,
        SocketException broken when Received == 0 => $"The worker broke off the connection before it answered ({broken.SocketErrorCode}).",
        SocketException broken => $"The worker broke off the connection in the middle of its response ({broken.SocketErrorCode}).",
        _ => null,
    };

    /// <summary>Closes it at once, from any thread: whoever waits for it is woken.</summary>
    public void Abort()
    {
        _loop.Remove(_registration);
        _socket.Dispose();
        _signal.Set(ended: true);
    }

    public void Dispose() => Abort();

    private async Task WatchAsync(ValueTask sending)
    {
        try
        {
            // Elsewhere, whatever has become of it meanwhile: who receives waits for who sends.
            await sending.AsTask().ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            Fail(exception);
        }
    }

    private void Fail(Exception exception)
    {
        _sendFailure = exception;
        _signal.Set(ended: true);
    }

    private async ValueTask LetOthersAsync()
    {
        await Task.Yield();
        _turn = 0;
    }

    private async ValueTask SendRestAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int sent = await _socket.SendAsync(bytes);
            Sent += sent;
            bytes = bytes[sent..];
        }
    }

    private void MakeRoom()
    {
        if (_start == _end)
        {
            // A buffer that was filled is one of many: a larger one for the rest of the body.
            if (_end == _received.Length && _received.Length < LargestReceive)
            {
                _received = new byte[LargestReceive];
            }

            _start = 0;
            _end = 0;
        }
        else if (_end == _received.Length)
        {
            byte[] target = _start > 0 ? _received : new byte[Math.Min(_received.Length * 2, LargestReceive)];
            UnreadSpan.CopyTo(target);
            _received = target;
            _end -= _start;
            _start = 0;
        }
    }
}
