using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>Calls from code through one handle. A call that finds a free permit and whose handler completes at once allocates nothing.</summary>
internal sealed class HandleCalls<TRequest, TResponse>(ServedDeployment deployment, Handle handle) : IDeploymentCalls<TRequest, TResponse>
{
    private static readonly bool Streams = typeof(TResponse).IsGenericType && typeof(TResponse).GetGenericTypeDefinition() == typeof(IAsyncEnumerable<>);

    private CallCancellation? _spare;

    public ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<TResponse>(cancellationToken);
        }

        if (Streams)
        {
            return ValueTask.FromException<TResponse>(IsAStream());
        }

        if (RequestScope.Current is { NamesAPlace: true })
        {
            return CallAsync(request, default(CallOptions), cancellationToken);
        }

        CallRoute? route = deployment.Router is null ? null : deployment.RouteOf(request, default);
        return CallAsync(request, route, time: null, cancellationToken);
    }

    public async ValueTask<TResponse> CallAsync(TRequest request, CallOptions options, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (Streams)
        {
            throw IsAStream();
        }

        CallRoute? route = deployment.RouteOf(request, options);
        RequestScope.OfCall(options.ModelId, options.SessionId)?.Join();
        if (options.Timeout is not { } timeout)
        {
            return await CallAsync(request, route, time: null, cancellationToken);
        }

        using CallTime time = TimeOf(timeout, cancellationToken);
        Task<TResponse> work = CallAsync(request, route, time, time.Token).AsTask();
        try
        {
            // The work may outlast its caller: it keeps the permit then, and ends it by itself.
            return await work.WaitAsync(time.Token);
        }
        catch (OperationCanceledException) when (time.Token.IsCancellationRequested)
        {
            _ = work.ContinueWith(static ended => _ = ended.Exception, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            throw time.IsOver ? time.ToException() : new OperationCanceledException(cancellationToken);
        }
    }

    public async ValueTask<IHeldCall<TResponse>> HoldAsync(TRequest request, CallOptions options, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        CallRoute? route = deployment.RouteOf(request, options);
        RequestScope? scope = RequestScope.OfCall(options.ModelId, options.SessionId);
        CallTime? time = options.Timeout is { } timeout ? TimeOf(timeout, cancellationToken) : null;
        CancellationToken token = time?.Token ?? cancellationToken;
        CallObservation observation = deployment.Observe();
        try
        {
            Admission admission = deployment.Gate.Admit(handle, route);
            if (admission.Kind == AdmissionKind.Wait)
            {
                observation.Waits();
            }

            RequestLease lease = await LeaseAsync(admission, time, token);
            CallCancellation cancellation = new();
            cancellation.Link(token, lease.Replica.Stopping);
            observation.Runs(lease.Replica);
            HeldCall<TResponse> call = new(lease, cancellation, time, scope, observation, token);
            observation = default;
            try
            {
                call.Enter();
                call.Response = await lease.Replica.InvokeAsync<TRequest, TResponse>(request, cancellation.Token);
                return call;
            }
            catch (Exception exception)
            {
                call.End(completed: false, exception);
                throw;
            }
        }
        catch (Exception exception)
        {
            observation.End(exception.GetType().FullName);
            time?.Dispose();
            if (time is { IsOver: true } && exception is OperationCanceledException)
            {
                throw time.ToException();
            }

            throw;
        }
    }

    public async Task<IReadOnlyList<TResponse>> BroadcastAsync(TRequest request, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (Streams)
        {
            throw IsAStream();
        }

        if (handle.IsClosed)
        {
            throw new DeploymentUnavailableException(deployment.ClosedMessage(), deployment);
        }

        RequestScope.OfCall(modelId: null, sessionId: null)?.Join();
        List<Task<TResponse>> visits = [];
        foreach (Replica replica in deployment.Gate.Replicas)
        {
            if (replica.Visits.TryEnter())
            {
                visits.Add(VisitAsync(replica, request, cancellationToken));
            }
        }

        return await Task.WhenAll(visits);
    }

    private static async Task<TResponse> VisitAsync(Replica replica, TRequest request, CancellationToken cancellationToken)
    {
        CallCancellation cancellation = new();
        cancellation.Link(cancellationToken, replica.Stopping);
        try
        {
            return await replica.InvokeAsync<TRequest, TResponse>(request, cancellation.Token);
        }
        finally
        {
            cancellation.TryReset();
            replica.Visits.Leave();
        }
    }

    private ValueTask<TResponse> CallAsync(TRequest request, CallRoute? route, CallTime? time, CancellationToken cancellationToken)
    {
        if (deployment.Telemetry.HearsCalls)
        {
            return ObservedAsync(request, route, time, cancellationToken);
        }

        Admission admission = deployment.Gate.Admit(handle, route);
        return admission.Kind switch
        {
            AdmissionKind.Run => Run(admission.Lease, request, time, cancellationToken),
            AdmissionKind.Wait => WaitThenRun(admission.Waiter!, request, time, cancellationToken),
            _ => ValueTask.FromException<TResponse>(Refused(admission)),
        };
    }

    private async ValueTask<TResponse> ObservedAsync(TRequest request, CallRoute? route, CallTime? time, CancellationToken cancellationToken)
    {
        CallObservation observation = deployment.Observe();
        string? trouble = null;
        try
        {
            Admission admission = deployment.Gate.Admit(handle, route);
            if (admission.Kind == AdmissionKind.Wait)
            {
                observation.Waits();
            }

            RequestLease lease = await LeaseAsync(admission, time, cancellationToken);
            observation.Runs(lease.Replica);
            return await Run(lease, request, time, cancellationToken);
        }
        catch (Exception exception)
        {
            trouble = exception.GetType().FullName;
            throw;
        }
        finally
        {
            observation.End(trouble);
        }
    }

    private ValueTask<RequestLease> LeaseAsync(Admission admission, CallTime? time, CancellationToken cancellationToken) => admission.Kind switch
    {
        AdmissionKind.Run => new(admission.Lease),
        AdmissionKind.Wait => PermitAsync(admission.Waiter!, time, cancellationToken),
        _ => throw Refused(admission),
    };

    private async ValueTask<TResponse> WaitThenRun(Waiter waiter, TRequest request, CallTime? time, CancellationToken cancellationToken) =>
        await Run(await PermitAsync(waiter, time, cancellationToken), request, time, cancellationToken);

    private ValueTask<TResponse> Run(RequestLease lease, TRequest request, CallTime? time, CancellationToken cancellationToken)
    {
        // Who cannot leave needs nothing linked: the replica's own token will do.
        CallCancellation? cancellation = null;
        CancellationToken handlers = lease.Replica.Stopping;
        if (cancellationToken.CanBeCanceled)
        {
            cancellation = Interlocked.Exchange(ref _spare, null) ?? new();
            cancellation.Link(cancellationToken, handlers);
            handlers = cancellation.Token;
        }

        ValueTask<TResponse> work;
        try
        {
            work = lease.Replica.InvokeAsync<TRequest, TResponse>(request, handlers);
        }
        catch (Exception exception)
        {
            TakeBack(cancellation);
            lease.End(CallEnds.Of(exception, time, cancellationToken));
            return ValueTask.FromException<TResponse>(exception);
        }

        if (!work.IsCompletedSuccessfully)
        {
            return Await(work, lease, cancellation, time, cancellationToken);
        }

        TakeBack(cancellation);
        lease.End(RequestEnd.Completed);
        return work;
    }

    private async ValueTask<TResponse> Await(ValueTask<TResponse> work, RequestLease lease, CallCancellation? cancellation, CallTime? time, CancellationToken cancellationToken)
    {
        RequestEnd end = RequestEnd.Completed;
        try
        {
            return await work;
        }
        catch (Exception exception)
        {
            end = CallEnds.Of(exception, time, cancellationToken);
            throw;
        }
        finally
        {
            TakeBack(cancellation);
            lease.End(end);
        }
    }

    /// <summary>Waits in the queue.</summary>
    private async ValueTask<RequestLease> PermitAsync(Waiter waiter, CallTime? time, CancellationToken cancellationToken)
    {
        TimeSpan? maxWait = deployment.Limits.MaxQueueWait;
        WaitEnd end;
        using (time is null
            ? cancellationToken.UnsafeRegister(static w => ((Waiter)w!).TryLeave(WaitEnd.Cancelled), waiter)
            : cancellationToken.UnsafeRegister(
                static state =>
                {
                    (Waiter left, CallTime of) = ((Waiter, CallTime))state!;
                    left.TryLeave(of.IsOver ? WaitEnd.TimedOut : WaitEnd.Cancelled);
                },
                (waiter, time)))
        using (maxWait is { } wait
            ? deployment.Time.CreateTimer(static w => ((Waiter)w!).TryLeave(WaitEnd.QueueTimedOut), waiter, wait, Timeout.InfiniteTimeSpan)
            : null)
        {
            end = await waiter.Ended;
        }

        return end switch
        {
            WaitEnd.Granted => waiter.Lease,
            WaitEnd.QueueTimedOut => throw deployment.WaitedTooLong(maxWait!.Value).ToException(),
            WaitEnd.Unavailable => throw new DeploymentUnavailableException(deployment.UnavailableMessage()),
            _ => throw new OperationCanceledException(cancellationToken),
        };
    }

    private void TakeBack(CallCancellation? cancellation)
    {
        if (cancellation is not null && cancellation.TryReset())
        {
            Volatile.Write(ref _spare, cancellation);
        }
    }

    private Exception Refused(Admission admission) => admission.Kind == AdmissionKind.Refused
        ? deployment.QueueFull(admission.Queued).ToException()
        : new DeploymentUnavailableException(handle.IsClosed ? deployment.ClosedMessage() : deployment.UnavailableMessage(), deployment);

    private CallTime TimeOf(TimeSpan timeout, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(timeout, TimeSpan.FromDays(24));
        return new(timeout, deployment.Name, deployment.Time, cancellationToken);
    }

    private InvalidOperationException IsAStream() => new($"Deployment '{deployment.Name}' answers with a stream, which is worked on while it is read: call it with {nameof(DeploymentStreams.StreamAsync)}.");
}

/// <summary>How a call's exception counts.</summary>
internal static class CallEnds
{
    public static RequestEnd Of(Exception exception, CallTime? time, CancellationToken cancellationToken) =>
        exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested ? RequestEnd.Failed
        : time is { IsOver: true } ? RequestEnd.TimedOut
        : RequestEnd.Cancelled;
}
