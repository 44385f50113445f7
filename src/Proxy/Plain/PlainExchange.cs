using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>What becomes of the connection of a plain request.</summary>
internal enum PlainEnd
{
    /// <summary>It can carry another request.</summary>
    Next,

    /// <summary>It closes.</summary>
    Close,

    /// <summary>It closes when the rest of the request's body has come: see <see cref="PlainExchange.TakeBodyAsync"/>.</summary>
    CloseAfterBody,

    /// <summary>Nothing was done: a worker is no longer who answers this request.</summary>
    IsOther,
}

/// <summary>
/// One plain request's way to a worker: be admitted, run, answer. What <see cref="Exchange"/> is to the others, without a context, and without a guard for the response, since no handler
/// can hold on to it. One object per connection, refilled for each of its requests.
/// </summary>
internal sealed class PlainExchange : IPlainClient
{
    private readonly ProxyApplication _proxy;
    private readonly ClientConnection _connection;
    private readonly RequestScope _scope = new();
    private readonly RequestWatch _watch;
    private readonly byte[] _address;

    private ServedApplication _application = null!;
    private ReadResult _read;
    private long _length;
    private TimeSpan? _timeout;
    private RequestRecord _record;
    private Repeats _repeats;
    private bool _hasStreamTimeout;
    private bool _hasFlushed;
    private bool _closes;
    private bool _clientLeft;

    /// <summary>The client takes its response too slowly, and its connection was broken off.</summary>
    private bool _isTooSlow;
    private bool _isOther;
    private int? _statusCode;

    public PlainExchange(ProxyApplication proxy, ClientConnection connection, PlainRequest request)
    {
        _proxy = proxy;
        _connection = connection;
        Request = request;
        _watch = new(proxy.Environment.Time, static _ => { });
        IPAddress? address = (connection.RemoteEndPoint as IPEndPoint)?.Address;
        _address = Encoding.ASCII.GetBytes((address is { IsIPv4MappedToIPv6: true } ? address.MapToIPv4() : address)?.ToString() ?? "");
    }

    public PlainRequest Request { get; }

    public ReadOnlySequence<byte> Body => _read.Buffer.Slice(_length - Request.BodyLength, Request.BodyLength);

    public string? Prefix { get; private set; }

    public string RequestId { get; private set; } = "";

    public bool MayBeSentAgain => Request.IsIdempotent && _repeats.MayBeSentAgain(_application.Ingress.Limits.Retry);

    public DateTimeOffset Now => _proxy.Environment.Time.GetUtcNow();

    public ReadOnlySpan<byte> Address => _address;

    public EventLoop Loop => _connection.Loop;

    public PipeWriter Output => _connection.Output;

    /// <summary>The whole of the body has come.</summary>
    private bool HasBody => _read.Buffer.Length >= _length;

    /// <summary>The client has closed the connection. From any thread.</summary>
    public void ClientLeaves() => _watch.ClientLeaves();

    /// <param name="application">Whose request it is.</param>
    /// <param name="read">Begins with the request.</param>
    /// <param name="headLength">Of its line and headers.</param>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<PlainEnd> ServeAsync(ServedApplication application, ReadResult read, int headLength)
    {
        _scope.Enter();
        Begin(application, read, headLength);
        Admission? decision = Admit();
        while (decision is { } admission)
        {
            switch (admission.Kind)
            {
                case AdmissionKind.Wait:
                    decision = await WaitAsync(admission.Waiter!);
                    continue;
                case AdmissionKind.Refused:
                    decision = Refuse(_application.Ingress.QueueFull(admission.Queued));
                    continue;
                case AdmissionKind.Unavailable:
                    decision = Unavailable();
                    continue;
            }

            // Here and not in a method of its own: each that awaits costs a request as much as to be admitted does.
            Exception? trouble = null;
            try
            {
                BeginWork(admission.Lease.Replica);
                if (!HasBody)
                {
                    await ReadBodyAsync();
                }

                await admission.Lease.Replica.InvokePlainAsync(this, _watch.Token);
            }
#pragma warning disable CA1031 // Whatever is thrown is answered here and goes no further.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                trouble = exception;
            }

            decision = EndsWork(admission.Lease, trouble) ? null : await RepeatAsync(admission.Lease, (WorkerFailedException)trouble!);
        }

        PlainEnd end = PlainEnd.IsOther;
        if (!_isOther)
        {
            end = await FlushLastAsync() ? PlainEnd.Next : _clientLeft || _isTooSlow || HasBody ? PlainEnd.Close : PlainEnd.CloseAfterBody;
            _record.Answered(_proxy, Request.Method, null, _scope.Route!, _clientLeft ? null : _statusCode, _scope, _application.Ingress);
        }

        if (end is PlainEnd.Next or PlainEnd.IsOther)
        {
            _connection.Input.AdvanceTo(end == PlainEnd.Next ? _read.Buffer.GetPosition(_length) : _read.Buffer.Start);
        }

        if (end != PlainEnd.CloseAfterBody)
        {
            _read = default;
        }

        _scope.Clear();
        _watch.Reset();
        return end;
    }

    /// <summary>
    /// After the answer to a request whose body nobody reads: ends the response's side of the connection, and takes what comes of the body, for as long as Kestrel does. A client that still sends when its
    /// connection closes is reset: many then say that the connection broke, and lose the answer that has come.
    /// </summary>
    public async Task TakeBodyAsync()
    {
        _connection.EndOutput();
        using CancellationTokenSource enough = new(SlowClient.UnreadBody, _proxy.Environment.Time);
        try
        {
            while (!HasBody && !_read.IsCompleted && !_read.IsCanceled)
            {
                _connection.Input.AdvanceTo(_read.Buffer.Start, _read.Buffer.End);
                _read = await _connection.Input.ReadAsync(enough.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or ConnectionResetException or ConnectionAbortedException)
        {
            // It does not come, or the client has gone.
        }

        _read = default;
    }

    bool IPlainClient.ResponseBegins(int statusCode, bool isStreamed)
    {
        _statusCode = statusCode;
        if (isStreamed && _application.StreamTimeout is { } timeout)
        {
            _timeout = timeout > TimeSpan.Zero ? timeout : null;
            _hasStreamTimeout = true;
            _watch.RestartTimeout(_timeout);
        }

        return Closes();
    }

    ValueTask IPlainClient.FlushAsync()
    {
        _hasFlushed = true;
        return FlushAsync(_watch.Token);
    }

    private void Begin(ServedApplication application, ReadResult read, int headLength)
    {
        _application = application;

        // It stays, though another may take the application's place.
        Prefix = application.RoutePrefix;
        _read = read;
        _length = headLength + Request.BodyLength;
        _repeats = default;
        _hasStreamTimeout = false;
        _hasFlushed = false;
        _clientLeft = false;
        _isTooSlow = false;
        _isOther = false;
        _closes = Request.Closes;
        _record.Begin(_proxy.Environment.Time);
        RequestId = Request.RequestId.IsEmpty ? RequestIds.New(_proxy.Environment.Random) : Encoding.ASCII.GetString(Request.RequestId);
        _scope.RequestId = RequestId;
        _scope.Application = application.Name;
        _scope.Route = application.RoutePrefix;
        _timeout = Request.Timeout.IsEmpty ? application.RequestTimeout : RequestHeaders.Timeout(Encoding.ASCII.GetString(Request.Timeout), application.RequestTimeout);
        _watch.SetTimeout(_record.StartedAt, _timeout);
    }

    private Admission Admit()
    {
        _record.Asks(_application.Ingress);
        return _application.Ingress.Gate.Admit(_application.Handle);
    }

    /// <returns>What is to be done next; <see langword="null"/> = there is an answer.</returns>
    private async ValueTask<Admission?> WaitAsync(Waiter waiter)
    {
        TimeSpan? maxWait = _application.Ingress.Limits.MaxQueueWait;
        _record.Waits();
        _watch.WatchWait(waiter, maxWait, leaves: default);
        WatchClient();
        WaitEnd end = await waiter.Ended;
        _watch.Stop();
        switch (end)
        {
            case WaitEnd.Granted:
                return Admission.Run(waiter.Lease);
            case WaitEnd.Unavailable:
                return Admission.Unavailable;
            case WaitEnd.QueueTimedOut:
                return Refuse(_application.Ingress.WaitedTooLong(maxWait!.Value));
            case WaitEnd.TimedOut:
                TimedOut();
                return null;
            default:
                _clientLeft = true;
                return null;
        }
    }

    private void BeginWork(Replica replica)
    {
        _scope.Deployment = _application.Ingress.Name;
        _scope.Replica = replica.Id;

        // It may have been ended in the instant between its grant and this line.
        _watch.Token.ThrowIfCancellationRequested();
        _record.Runs(replica);
        _watch.WatchRun(leaves: default, replica.Stopping);
        WatchClient();
    }

    /// <summary>The work is done, or has failed.</summary>
    /// <returns>Whether there is an answer, and the permit has gone back; if not, the request goes to another replica.</returns>
    private bool EndsWork(RequestLease lease, Exception? trouble)
    {
        _watch.Stop();
        if (trouble is WorkerFailedException failure && MayRepeat(failure))
        {
            _record.Worked(nameof(WorkerFailedException));
            return false;
        }

        _clientLeft |= trouble is not null && !_isTooSlow && _watch.Cause == EarlyEnd.ClientLeft;
        RequestEnd end = trouble is null ? RequestEnd.Completed
            : _clientLeft || _isTooSlow || _watch.Cause == EarlyEnd.ReplicaStops ? RequestEnd.Cancelled
            : _watch.Cause == EarlyEnd.TimedOut ? RequestEnd.TimedOut
            : RequestEnd.Failed;
        _record.Worked(trouble is null ? null : end.ToString());
        lease.End(end);
        if (trouble is not null && !_clientLeft && !_isTooSlow)
        {
            Fail(trouble);
        }

        return true;
    }

    private bool MayRepeat(WorkerFailedException failure) =>
        _watch.Cause == EarlyEnd.None && !_hasFlushed && _repeats.MayRepeat(failure, Request.Method, _application.Ingress.Limits.Retry);

    /// <summary>Sends the request to another replica, or to this one if it lives after all.</summary>
    private async Task<Admission> RepeatAsync(RequestLease lease, WorkerFailedException failure)
    {
        Log.RequestRepeats(_proxy.RequestLog, failure.Message);
        _record.Waits();
        await Repeats.PauseAsync(lease.Replica, failure, _proxy.Environment.Time);
        lease.Return();
        return _application.Ingress.Gate.Readmit(_application.Handle);
    }

    /// <summary>Answers what went wrong, or breaks off what was begun to be answered.</summary>
    private void Fail(Exception trouble)
    {
        EarlyEnd cause = _watch.Cause;
        if (_hasFlushed)
        {
            switch (cause)
            {
                case EarlyEnd.None:
                    OwnAnswers.LogBrokenOff(_proxy.RequestLog, trouble);
                    break;
                case EarlyEnd.TimedOut:
                    OwnAnswers.LogTimedOut(_proxy.RequestLog, _timeout ?? default, _hasStreamTimeout);
                    break;
            }

            // What came before still reaches the client, which knows from the response's framing that it is not whole.
            _closes = true;
            return;
        }

        _connection.TakeBack();
        _closes |= cause != EarlyEnd.None;
        switch (cause)
        {
            case EarlyEnd.TimedOut:
                TimedOut();
                return;
            case EarlyEnd.ReplicaStops:
                Answer(StatusCodes.Status503ServiceUnavailable, _application.Ingress.ReplicaStoppedMessage());
                return;
        }

        (int statusCode, string text) = OwnAnswers.OfFailure(_proxy.RequestLog, trouble, _repeats.WasSent);
        _closes |= trouble is BadHttpRequestException;
        Answer(statusCode, Encoding.UTF8.GetBytes(text), retryAfter: null, notRun: OwnAnswers.WasNotRun(trouble, _repeats.WasSent));
    }

    /// <returns><see langword="null"/>: there is an answer.</returns>
    private Admission? Refuse(Refusal refusal)
    {
        _application.Ingress.LogRefusal(refusal);
        Answer(refusal.StatusCode, refusal.Body.Span, refusal.RetryAfterSeconds, notRun: !_repeats.WasSent);
        return null;
    }

    /// <summary>The deployment cannot run it. Where another has meanwhile taken its place, that one does.</summary>
    /// <returns>What that one says; <see langword="null"/> = there is an answer, or it is none for a plain request.</returns>
    private Admission? Unavailable()
    {
        ServedApplication? now = _proxy.Routes.Find(_application.Name);
        if (now is null || now.Ingress == _application.Ingress || (_repeats.WasSent && !now.Ingress.Definition.PassesOn))
        {
            Answer(StatusCodes.Status503ServiceUnavailable, Encoding.UTF8.GetBytes(_application.Ingress.UnavailableMessage()), retryAfter: null, notRun: !_repeats.WasSent);
            return null;
        }

        _record.IsUnavailable();
        _isOther = !now.Ingress.Definition.PassesOn;
        if (_isOther)
        {
            return null;
        }

        _application = now;
        return Admit();
    }

    private void TimedOut() => Answer(StatusCodes.Status408RequestTimeout, OwnAnswers.TimedOutText(RequestId, _timeout ?? default));

    private void Answer(int statusCode, string text) => Answer(statusCode, Encoding.UTF8.GetBytes(text), retryAfter: null, notRun: false);

    private void Answer(int statusCode, ReadOnlySpan<byte> text, int? retryAfter, bool notRun)
    {
        _statusCode = statusCode;
        PlainAnswer.Write(this, statusCode, text, retryAfter, notRun, Closes());
    }

    /// <summary>Whether the connection closes after the response that begins now.</summary>
    private bool Closes() => _closes |= _proxy.IsDraining || !HasBody;

    /// <summary>A client that left before its leaving was watched for has left all the same.</summary>
    private void WatchClient()
    {
        Interlocked.MemoryBarrier();
        if (_connection.ConnectionClosed.IsCancellationRequested)
        {
            ClientLeaves();
        }
    }

    /// <summary>Sends the end of the response.</summary>
    /// <returns>Whether the connection can carry another request.</returns>
    private ValueTask<bool> FlushLastAsync()
    {
        if (_clientLeft || _isTooSlow)
        {
            return new(false);
        }

        ValueTask flush = FlushAsync(CancellationToken.None);
        return flush.IsCompletedSuccessfully ? new(!_closes) : Await(flush);

        async ValueTask<bool> Await(ValueTask slow)
        {
            try
            {
                await slow;
                return !_closes;
            }
            catch (OperationCanceledException)
            {
                return false;
            }
        }
    }

    private ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        long bytes = Output.UnflushedBytes;
        ValueTask<FlushResult> flush = Output.FlushAsync(CancellationToken.None);
        return !flush.IsCompletedSuccessfully ? FlushSlowlyAsync(flush.AsTask(), SlowClient.Allowed(bytes), cancellationToken)
            : flush.Result.IsCompleted ? ValueTask.FromException(HasLeft())
            : default;
    }

    private async ValueTask FlushSlowlyAsync(Task<FlushResult> flush, TimeSpan allowed, CancellationToken cancellationToken)
    {
        try
        {
            if (!(await flush.WaitAsync(allowed, _proxy.Environment.Time, cancellationToken)).IsCompleted)
            {
                return;
            }
        }
        catch (TimeoutException)
        {
            if (_watch.Cause == EarlyEnd.None)
            {
                SlowClient.LogTooSlow(_proxy.RequestLog);
            }

            _isTooSlow = true;
            _connection.Abort(new ConnectionAbortedException("The client takes its response too slowly."));
            throw new OperationCanceledException("The client took its response too slowly.");
        }

        throw HasLeft();
    }

    private OperationCanceledException HasLeft()
    {
        _clientLeft = true;
        return new("The client takes no more of its response.");
    }

    /// <summary>Waits for the rest of a body, which clients often send after the head and not with it.</summary>
    private async Task ReadBodyAsync()
    {
        using CancellationTokenSource slow = new(SlowClient.Allowed(Request.BodyLength), _proxy.Environment.Time);
        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(_watch.Token, slow.Token);
        while (!HasBody)
        {
            _connection.Input.AdvanceTo(_read.Buffer.Start, _read.Buffer.End);
            try
            {
                _read = await _connection.Input.ReadAsync(end.Token);
            }
            catch (OperationCanceledException) when (slow.IsCancellationRequested && _watch.Cause == EarlyEnd.None)
            {
                throw new BadHttpRequestException(SlowClient.BodyTooSlow, StatusCodes.Status408RequestTimeout);
            }
            catch (Exception gone) when (gone is ConnectionResetException or ConnectionAbortedException)
            {
                // The connection's own word of it may come later than this.
                throw HasLeftEarly(gone);
            }

            if (_read.IsCompleted && !HasBody)
            {
                throw HasLeftEarly();
            }
        }
    }

    private OperationCanceledException HasLeftEarly(Exception? gone = null)
    {
        ClientLeaves();
        return new("The client has left before it had sent its request's body.", gone);
    }
}
