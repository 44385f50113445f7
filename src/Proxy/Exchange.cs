using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Timeouts;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>
/// One request's way through the server: find the application, be admitted, run, answer. One object per connection, refilled for each of its requests.
/// It takes requests of the data port, and those that an application hands over in which the server is embedded.
/// </summary>
/// <remarks>
/// The request ends when its handler has ended, not when its response has: a handler that goes on after its 408 keeps its permit, its request and its
/// connection, so that it can harm nobody else's.
/// </remarks>
internal sealed class Exchange : IHttpRequestLifetimeFeature
{
    private readonly ProxyApplication _proxy;
    private readonly RequestScope _scope;
    private readonly ResponseGuard _guard;
    private readonly RequestWatch _watch;
    private readonly OwnAnswers _answers;

    /// <summary>Not there on the data port.</summary>
    private readonly HostRequest? _host;
    private DefaultHttpContext? _context;

    private IFeatureCollection _features = null!;
    private IHttpRequestFeature _request = null!;
    private IHttpResponseFeature _response = null!;
    private IHttpResponseBodyFeature _body = null!;
    private IHttpRequestLifetimeFeature _lifetime = null!;
    private ServingConnection? _connection;

    private bool _isGuarded;
    private bool _hasUsualHeaders;

    private ServedApplication _application = null!;
    private TimeSpan? _timeout;
    private bool _hasStreamTimeout;
    private bool _clientLeft;
    private Task? _earlyResponse;
    private Repeats _repeats;
    private RequestRecord _record;
    private UpgradePlace _upgrade;

    /// <param name="proxy">What all exchanges share.</param>
    /// <param name="isOfHost">It serves an application in which the server is embedded, and not the data port.</param>
    public Exchange(ProxyApplication proxy, bool isOfHost = false)
    {
        _proxy = proxy;
        _scope = new(keepsContext: !isOfHost);
        _host = isOfHost ? new() : null;
        _guard = new(this);
        _watch = new(proxy.Environment.Time, EndsEarly);
        _answers = new(proxy.RequestLog);
    }

    /// <summary>It is at work for a request of the host.</summary>
    public bool ServesHost => _host is { IsTaken: true };

    /// <summary>The client was gone before its request was done.</summary>
    private bool HasClientLeft => _clientLeft || (_watch.Cause == EarlyEnd.ClientLeft && !_upgrade.IsUpgraded && _connection is not { IsTooSlow: true });

    /// <summary>Set when the client leaves or the host ends the request; where the client's leaving does not matter, when the host's time limit is over, which is not the client's to lift.</summary>
    private CancellationToken Leaves => _hasUsualHeaders || !RequestHeaders.OutlivesClient(_request.Headers)
        ? _lifetime.RequestAborted
        : _features.Get<IHttpRequestTimeoutFeature>()?.RequestTimeoutToken ?? default;

    /// <summary>What a handler sees as its request's life: it ends with the client, and with the request's time too.</summary>
    CancellationToken IHttpRequestLifetimeFeature.RequestAborted
    {
        get => _watch.Token;
        set => throw new NotSupportedException("The token of a request cannot be replaced; link another to it.");
    }

    void IHttpRequestLifetimeFeature.Abort() => Abort();

    /// <summary>Takes the next request of the connection.</summary>
    public void Begin(IFeatureCollection features)
    {
        if (_features != features)
        {
            // A connection's requests share these objects; to ask for each of them at every request was measurable.
            Take(features);
            _connection = features.Get<ServingConnection>();
        }

        _connection?.RequestBegins();
        _record.Begin(_proxy.Environment.Time);
    }

    /// <summary>Serves a request that the host hands over, and gives its context back as it was.</summary>
    public Task ServeAsync(HttpContext context, HostRoute route)
    {
        IFeatureCollection features = context.Features;

        // The host's middleware may have put its own objects in their places, another time for each request; mostly it has not.
        Take(features);
        HostConnection.Guard(features, _request, _response);
        _host!.Enter(context, route, _request, _proxy.Settings.MaxRequestBodyBytes);
        _record.Begin(_proxy.Environment.Time);
        Task work = ProcessAsync();
        if (!work.IsCompleted || HasClientLeft)
        {
            return LeaveHostAfterAsync(work);
        }

        LeaveHost();
        return work;
    }

    public async Task ProcessAsync()
    {
        if (_host is null)
        {
            _scope.Enter();
        }
        else
        {
            _scope.Join();
        }

        IHeaderDictionary headers = _request.Headers;

        // A WebSocket over HTTP/2 begins with CONNECT, and needs no header that says so.
        _hasUsualHeaders = RequestHeaders.AreUsual(headers) && !HttpMethods.IsConnect(_request.Method);
        string id = RequestIds.For(_hasUsualHeaders ? default : headers[RequestIds.Header], _proxy.Environment.Random);
        _scope.RequestId = id;
        if (_host is null)
        {
            _response.Headers[RequestIds.Header] = id;
        }
        else
        {
            HostRequest.SayId(id, _features, _response);
        }

        CloseConnectionIfDraining();

        RouteTable routes = _proxy.Routes;
        string path = _request.Path;
        if (RequestFaults.Of(_features, _request, _hasUsualHeaders, out int faultCode) is { } fault)
        {
            await _answers.BadRequestAsync(faultCode, fault);
            Answered(path);
            return;
        }

        if (path.StartsWith("/-/", StringComparison.Ordinal) &&
            BuiltInPaths.TryAnswer(path, routes, _proxy.HadRoutes, _proxy.IsDraining, out int statusCode, out string contentType, out string body))
        {
            await _answers.BuiltInAsync(statusCode, contentType, body);
            return;
        }

        if (_host is null)
        {
            _record.BeginSpan(_proxy.Environment.Telemetry, _request, id);
        }

        try
        {
            if (!(_host is null ? routes.TryMatch(path, out ServedApplication? application) : _host.Route.TryMatch(routes, path, out application)))
            {
                await _answers.NotFoundAsync(path);
                return;
            }

            Enter(application, path);
            if (headers.ContentLength is { } length && length > _proxy.Settings.MaxRequestBodyBytes)
            {
                await _answers.BodyTooLargeAsync(length, _proxy.Settings.MaxRequestBodyBytes);
                return;
            }

            await AdmitAsync();
        }
        finally
        {
            Answered(path);
        }
    }

    /// <summary>The request is over and its response is with the client, or lost.</summary>
    public void End()
    {
        if (_connection is { IsTooSlow: true })
        {
            // Here, since Kestrel may still have sent the end of the response when nothing else was left to do.
            _scope.Run(static of => ((Exchange)of!).LogTooSlow(), this);
        }

        _context?.Uninitialize();
        _connection?.RequestEnds();
        _scope.Clear();
        _watch.Reset();
        _clientLeft = false;
        _earlyResponse = null;
        _repeats = default;
        _upgrade.Reset();
    }

    /// <summary>The handler's response begins.</summary>
    public void ResponseBegins(bool streamed)
    {
        CloseConnectionIfDraining();
        if (streamed && _application.StreamTimeout is { } timeout)
        {
            _timeout = timeout > TimeSpan.Zero ? timeout : null;
            _hasStreamTimeout = true;
            _watch.RestartTimeout(_timeout);
        }
    }

    /// <summary>The connection is handed to the handler: no request is timed any more.</summary>
    public void Upgrades() => _watch.RestartTimeout(null);

    /// <summary>The connection is the handler's now.</summary>
    public void HasUpgraded() => _upgrade.Upgraded();

    /// <summary>Ends a response that cannot be finished. Where its head has gone out, that says how much is missing.</summary>
    private void CutShort()
    {
        if (_connection is not null && _response.HasStarted && _request.Protocol == HttpProtocol.Http11 && !_upgrade.IsUpgraded)
        {
            _connection.IsCutShort = true;
        }

        Abort();
    }

    private void Abort()
    {
        if (_host is not null)
        {
            HostConnection.TakeNoMore(_features, _request);
        }

        _lifetime.Abort();
    }

    private void LogTooSlow() => SlowClient.LogTooSlow(_proxy.RequestLog, _features.Get<IHttpMinResponseDataRateFeature>()?.MinDataRate);

    private async Task LeaveHostAfterAsync(Task work)
    {
        CancellationToken cancelled = default;
        try
        {
            await work;
        }
        finally
        {
            if (HasClientLeft && _features.Get<IConnectionLifetimeFeature>() is not { ConnectionClosed.IsCancellationRequested: true })
            {
                cancelled = _lifetime.RequestAborted;
            }

            LeaveHost();
        }

        // Where a client is not known to have left, a middleware may have ended its request, as that for request timeouts does, and waits for this to answer in its own way.
        cancelled.ThrowIfCancellationRequested();
    }

    private void LeaveHost()
    {
        if (HasClientLeft && !_response.HasStarted)
        {
            // Nobody reads it, but the host's middleware, which would take silence for success.
            _response.StatusCode = StatusCodes.Status499ClientClosedRequest;
        }

        Unguard();
        _host!.Leave(_request);
        End();
    }

    /// <summary>No handler is at work: what has to be answered is answered where the host's middleware looks for it.</summary>
    private void Unguard()
    {
        if (_isGuarded)
        {
            _isGuarded = false;
            _guard.Leave(_features);
            _features[typeof(IHttpRequestLifetimeFeature)] = _lifetime;
        }
    }

    private void Take(IFeatureCollection features)
    {
        // Every server has these; asked for by their types they cost a third of what the generic way does.
        object? request = features[typeof(IHttpRequestFeature)];
        object? response = features[typeof(IHttpResponseFeature)];
        object? body = features[typeof(IHttpResponseBodyFeature)];
        object? lifetime = features[typeof(IHttpRequestLifetimeFeature)];
        if (features == _features && request == _request && response == _response && body == _body && lifetime == _lifetime)
        {
            return;
        }

        _features = features;
        _request = (IHttpRequestFeature)request!;
        _response = (IHttpResponseFeature)response!;
        _body = (IHttpResponseBodyFeature)body!;
        _lifetime = (IHttpRequestLifetimeFeature)lifetime!;
        _answers.Take(features, _request, _response, _body);
    }

    private void Enter(ServedApplication application, string path)
    {
        _application = application;
        _scope.Application = application.Name;
        _scope.Route = application.RoutePrefix;
        _timeout = application.RequestTimeout;
        _hasStreamTimeout = false;
        if (!_hasUsualHeaders)
        {
            _scope.ModelId = RequestHeaders.ModelId(_request.Headers);
            _scope.SessionId = RequestHeaders.SessionId(_request.Headers);
            _timeout = RequestHeaders.Timeout(_request.Headers, application.RequestTimeout);
        }

        if (application.RoutePrefix is { Length: > 1 } prefix)
        {
            _request.PathBase += prefix;
            _request.Path = path[prefix.Length..];
        }

        _watch.SetTimeout(_record.StartedAt, _timeout);
    }

    private Task AdmitAsync()
    {
        ServedDeployment deployment = _application.Ingress;
        if (LimitOfUpgrades() is { } websockets && UpgradeLease.AllAreTaken(deployment.Gate, websockets))
        {
            _application.Handle.Counts.Arrive();
            _application.Handle.Counts.Refuse(RefusalReason.Websockets);
            return RefuseAsync(deployment.WebsocketsFull(websockets));
        }

        CallRoute? route;
        try
        {
            route = deployment.RouteOf(_request, _scope.ModelId, _scope.SessionId);
        }
#pragma warning disable CA1031 // Whatever a router throws fails this request alone.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            return _answers.BrokenAsync(exception);
        }

        _record.Asks(deployment);
        Admission admission = deployment.Gate.Admit(_application.Handle, route);
        if (admission.Kind is AdmissionKind.Run or AdmissionKind.Wait)
        {
            // Who is refused has no handler whose response would have to be guarded.
            _guard.Enter(_features, _response, _body, mayUpgrade: !_hasUsualHeaders);
            _features[typeof(IHttpRequestLifetimeFeature)] = this;
            _isGuarded = true;
        }

        return admission.Kind switch
        {
            AdmissionKind.Run => StartAsync(admission.Lease),
            AdmissionKind.Wait => WaitAsync(admission.Waiter!),
            AdmissionKind.Refused => RefuseAsync(deployment.QueueFull(admission.Queued)),
            _ => UnavailableAsync(deployment),
        };
    }

    /// <summary>The deployment cannot run it. Where another has meanwhile taken its place, that one does.</summary>
    private Task UnavailableAsync(ServedDeployment deployment)
    {
        ServedApplication? now = _host is null ? _proxy.Routes.Find(_application.Name) : _host.Route.Find(_proxy.Routes, _application.Name);
        if (now is null || now.Ingress == deployment)
        {
            Unguard();
            SayNotRun();
            return _answers.UnavailableAsync(deployment.UnavailableMessage());
        }

        _record.IsUnavailable();
        _application = now;
        return AdmitAsync();
    }

    private async Task WaitAsync(Waiter waiter)
    {
        ServedDeployment deployment = _application.Ingress;
        TimeSpan? maxWait = deployment.Limits.MaxQueueWait;
        _record.Waits();
        _watch.WatchWait(waiter, maxWait, Leaves);
        WaitEnd end = await waiter.Ended;
        _watch.Stop();
        switch (end)
        {
            case WaitEnd.Granted:
                await StartAsync(waiter.Lease);
                break;
            case WaitEnd.TimedOut:
                Unguard();
                await TimedOutAsync();
                break;
            case WaitEnd.QueueTimedOut:
                await RefuseAsync(deployment.WaitedTooLong(maxWait!.Value));
                break;
            case WaitEnd.Unavailable:
                await UnavailableAsync(deployment);
                break;
            case WaitEnd.Cancelled:
                _clientLeft = true;
                break;
        }
    }

    private Task StartAsync(RequestLease lease)
    {
        if (LimitOfUpgrades() is not { } limit || _upgrade.TryTake(ref lease, limit))
        {
            return RunAsync(lease);
        }

        lease.End(EndOf(RequestEnd.Refused));
        return _guard.TryTake() ? RefuseAsync(_application.Ingress.WebsocketsFull(limit)) : _earlyResponse ?? Task.CompletedTask;
    }

    /// <summary>A request with usual headers alone asks for no upgraded connection.</summary>
    private int? LimitOfUpgrades() => _hasUsualHeaders ? null : UpgradePlace.LimitOf(_application.Ingress, _features, _request.Headers);

    private async Task RunAsync(RequestLease lease)
    {
        RequestEnd end = RequestEnd.Failed;
        bool holdsPermit = true;
        WorkerFailedException? failure = null;
        try
        {
            if (_watch.Cause != EarlyEnd.None)
            {
                // It was ended in the instant between its grant and this line.
                return;
            }

            _scope.Deployment = _application.Ingress.Name;
            _scope.Replica = lease.Replica.Id;
            _record.Runs(lease.Replica);
            if (_application.Ingress.Definition.PassesOn && !_repeats.MayBeSentAgain(_application.Ingress.Limits.Retry))
            {
                _features.Set(SentOnce.Instance);
            }

            ValueTask<HttpResult> work = lease.Replica.InvokeHttpAsync(Context(), _watch.Token);
            bool isWatched = !work.IsCompleted;
            if (isWatched)
            {
                _watch.WatchRun(Leaves, lease.Replica.Stopping);
            }

            HttpResult result = await work;
            if (result.Kind == HttpResultKind.Chunks && !isWatched)
            {
                // The handler returned at once, and its work begins here.
                _watch.WatchRun(Leaves, lease.Replica.Stopping);
            }

            await using BegunStream? stream = result.Kind == HttpResultKind.Chunks ? new(result.Chunks, _watch.Token) : null;
            stream?.ThrowIfFailed();
            if (stream is null)
            {
                // The work is done; sending what came of it needs no permit.
                end = EndOf(RequestEnd.Completed);
                holdsPermit = false;
                EndWork(lease, end);
            }

            if (_guard.TryBegin(result.Kind switch { HttpResultKind.Written => null, HttpResultKind.Chunks => true, _ => false }))
            {
                await (stream is null
                    ? ResultWriter.WriteAsync(result, _response, _body, _watch.Token)
                    : ResultWriter.WriteAsync(stream, _response, _body, _watch.Token));
            }

            end = EndOf(RequestEnd.Completed);
        }
        catch (WorkerFailedException exception) when (MayRepeat(exception))
        {
            holdsPermit = false;
            failure = exception;
            _upgrade.GiveBack();
            _record.Worked(nameof(WorkerFailedException));
        }
#pragma warning disable CA1031 // Whatever a handler throws is answered here and goes no further.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            if (_watch.Cause == EarlyEnd.None && HasLeftEarly(exception))
            {
                _watch.ClientHasLeft();

                // Where it has closed only its half, it must not take silence for an empty answer.
                Abort();
            }

            end = EndOf(RequestEnd.Failed);
            if (holdsPermit)
            {
                holdsPermit = false;
                EndWork(lease, end);
            }

            await FailedAsync(exception);
        }
        finally
        {
            if (holdsPermit)
            {
                EndWork(lease, EndOf(end));
            }

            _watch.Stop();
            if (_earlyResponse is { } response)
            {
                await response;
            }
        }

        if (failure is not null)
        {
            await RepeatAsync(lease, failure);
        }
        else if (_watch.Cause == EarlyEnd.TimedOut && _guard.HasBegun)
        {
            OwnAnswers.LogTimedOut(_proxy.RequestLog, _timeout ?? default, _hasStreamTimeout);
        }
    }

    private void EndWork(RequestLease lease, RequestEnd end)
    {
        _record.Worked(end == RequestEnd.Completed ? null : end.ToString());
        _upgrade.End(lease, end);
    }

    private bool MayRepeat(WorkerFailedException failure) =>
        _watch.Cause == EarlyEnd.None && !_guard.HasBegun && _repeats.MayRepeat(failure, _request.Method, _application.Ingress.Limits.Retry);

    /// <summary>Sends the request to another replica, or to this one if it lives after all.</summary>
    private async Task RepeatAsync(RequestLease lease, WorkerFailedException failure)
    {
        Log.RequestRepeats(_proxy.RequestLog, failure.Message);
        _record.Waits();
        _guard.StartOver();
        await Repeats.PauseAsync(lease.Replica, failure, _proxy.Environment.Time);
        lease.Return();
        ServedDeployment deployment = _application.Ingress;
        Admission admission = deployment.Gate.Readmit(_application.Handle);
        await (admission.Kind switch
        {
            AdmissionKind.Run => StartAsync(admission.Lease),
            AdmissionKind.Wait => WaitAsync(admission.Waiter!),
            _ => UnavailableAsync(deployment),
        });
    }

    /// <summary>Whether it says that the client was gone before it had sent its request's body: what is told of that to the request's life may come later than this.</summary>
    private bool HasLeftEarly(Exception exception) => exception switch
    {
        ConnectionResetException or OperationCanceledException { InnerException: ConnectionAbortedException } => true,

        // A body that is wrong has an answer, if there is still somebody to read it.
        BadHttpRequestException => _features.Get<IConnectionLifetimeFeature>() is { ConnectionClosed.IsCancellationRequested: true },
        _ => false,
    };

    /// <summary>What a handler's exception means to the client.</summary>
    private Task FailedAsync(Exception exception)
    {
        if (_watch.Cause != EarlyEnd.None)
        {
            return Task.CompletedTask;
        }

        if (_guard.TryTake() || !(_response.HasStarted || _guard.HasBody || HasUnflushedBytes()))
        {
            Unguard();
            return _answers.FailedAsync(_application.Ingress, exception, _repeats.WasSent);
        }

        if (_host is not null && (!_response.HasStarted || _request.Protocol != HttpProtocol.Http10))
        {
            // As with any endpoint: a middleware that holds the response back can still answer, and what was flushed reaches the client before Kestrel closes its connection. A client of HTTP/1.0 would take that for
            // the response's end. The host logs what it is told, and once is enough.
            return _response.HasStarted ? TellHostAsync(exception) : Task.FromException(ForHost(exception));
        }

        OwnAnswers.LogBrokenOff(_proxy.RequestLog, exception);
        return BreakOffAsync();
    }

    private async Task TellHostAsync(Exception exception)
    {
        await FlushLastAsync();
        throw ForHost(exception);
    }

    private async Task BreakOffAsync()
    {
        await FlushLastAsync();

        // First, or it would look as if the client had left.
        _watch.Stop();
        if (_watch.Cause == EarlyEnd.None)
        {
            CutShort();
        }
    }

    /// <summary>What came before the failure still reaches the client. It is waited for as long as for any response, and no longer than the request may take.</summary>
    private async Task FlushLastAsync()
    {
        try
        {
            await _body.Writer.FlushAsync();
        }
#pragma warning disable CA1031 // What a middleware has put around the response may throw anything, and the response is broken off all the same.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }

    /// <summary>What can still be answered is told as it is, and so is what Kestrel knows as the client's: that it has left, or a body that is wrong.</summary>
    private Exception ForHost(Exception exception) =>
        !_response.HasStarted || exception is BadHttpRequestException || (exception is OperationCanceledException or IOException && _lifetime.RequestAborted.IsCancellationRequested)
            ? exception
            : new BrokenOffException(_scope.RequestId!, exception);

    /// <summary>What a middleware of the host has put around the response may not tell.</summary>
    private bool HasUnflushedBytes() => !_body.Writer.CanGetUnflushedBytes || _body.Writer.UnflushedBytes > 0;

    /// <summary>Answers in the handler's place, or breaks off what the handler has begun to answer.</summary>
    private void EndsEarly(EarlyEnd cause)
    {
        if (cause == EarlyEnd.ClientLeft)
        {
            return;
        }

        if (_guard.TryTake())
        {
            _earlyResponse = AnswerEarlyAsync(cause);
        }
        else
        {
            CutShort();
        }
    }

    private async Task AnswerEarlyAsync(EarlyEnd cause)
    {
        Task answer;
        _guard.BeginAnswer();
        try
        {
            // The handler may go on for as long as it likes, and the connection with it.
            _answers.CloseConnection();
            answer = cause == EarlyEnd.TimedOut ? TimedOutAsync() : _answers.UnavailableAsync(_application.Ingress.ReplicaStoppedMessage());
        }
        finally
        {
            _guard.EndAnswer();
        }

        await answer;
        await _body.CompleteAsync();
    }

    private RequestEnd EndOf(RequestEnd otherwise) => _watch.Cause switch
    {
        // That is how an upgraded connection ends.
        EarlyEnd.ClientLeft when _upgrade.IsUpgraded => RequestEnd.Completed,
        EarlyEnd.ClientLeft or EarlyEnd.ReplicaStops => RequestEnd.Cancelled,
        EarlyEnd.TimedOut => RequestEnd.TimedOut,
        _ => otherwise,
    };

    private HttpContext Context()
    {
        if (_host is not null)
        {
            return _host.Context;
        }

        if (_context is null)
        {
            _context = new(_features);
        }
        else
        {
            _context.Initialize(_features);
        }

        return _context;
    }

    private Task RefuseAsync(Refusal refusal)
    {
        Unguard();
        SayNotRun();
        return _answers.RefusedAsync(_application.Ingress, refusal);
    }

    private void SayNotRun()
    {
        if (!_repeats.WasSent)
        {
            _answers.SayNotRun();
        }
    }

    private Task TimedOutAsync() => _answers.TimedOutAsync(_scope.RequestId!, _timeout ?? default);

    private void CloseConnectionIfDraining()
    {
        if (_proxy.IsDraining)
        {
            _answers.CloseConnection();
        }
    }

    /// <summary>The request is answered, or its client has left.</summary>
    private void Answered(string path)
    {
        _record.Answered(_proxy, _request.Method, _host, path, HasClientLeft ? null : _response.StatusCode, _scope, _scope.Application is null ? null : _application.Ingress);
    }
}
