namespace Serve.Embedded.Handles;

/// <summary>Calls from code through one handle. A call that finds a free permit and whose handler completes at once allocates nothing.</summary>
internal sealed class HandleCalls<TRequest, TResponse>(ServedDeployment deployment, Handle handle) : IDeploymentCalls<TRequest, TResponse>
{
    public ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<TResponse>(cancellationToken);
        }

        Admission admission = deployment.Gate.Admit(handle);
        return admission.Kind switch
        {
            AdmissionKind.Run => Run(admission.Lease, request, cancellationToken),
            AdmissionKind.Wait => WaitThenRun(admission.Waiter!, request, cancellationToken),
            AdmissionKind.Refused => ValueTask.FromException<TResponse>(deployment.QueueFull(admission.Queued).ToException()),
            _ => ValueTask.FromException<TResponse>(new DeploymentUnavailableException(handle.IsClosed ? deployment.ClosedMessage() : deployment.UnavailableMessage(), deployment)),
        };
    }

    private static ValueTask<TResponse> Run(RequestLease lease, TRequest request, CancellationToken cancellationToken)
    {
        ValueTask<TResponse> work;
        try
        {
            work = lease.Replica.InvokeAsync<TRequest, TResponse>(request, cancellationToken);
        }
        catch (Exception exception)
        {
            lease.End(EndOf(exception, cancellationToken));
            return ValueTask.FromException<TResponse>(exception);
        }

        if (!work.IsCompletedSuccessfully)
        {
            return Await(work, lease, cancellationToken);
        }

        lease.End(RequestEnd.Completed);
        return work;
    }

    private static async ValueTask<TResponse> Await(ValueTask<TResponse> work, RequestLease lease, CancellationToken cancellationToken)
    {
        RequestEnd end = RequestEnd.Completed;
        try
        {
            return await work;
        }
        catch (Exception exception)
        {
            end = EndOf(exception, cancellationToken);
            throw;
        }
        finally
        {
            lease.End(end);
        }
    }

    private static RequestEnd EndOf(Exception exception, CancellationToken cancellationToken) =>
        exception is OperationCanceledException && cancellationToken.IsCancellationRequested ? RequestEnd.Cancelled : RequestEnd.Failed;

    private async ValueTask<TResponse> WaitThenRun(Waiter waiter, TRequest request, CancellationToken cancellationToken)
    {
        TimeSpan? maxWait = deployment.Limits.MaxQueueWait;
        WaitEnd end;
        using (cancellationToken.UnsafeRegister(static w => ((Waiter)w!).TryLeave(WaitEnd.Cancelled), waiter))
        using (maxWait is { } wait
            ? deployment.Time.CreateTimer(static w => ((Waiter)w!).TryLeave(WaitEnd.QueueTimedOut), waiter, wait, Timeout.InfiniteTimeSpan)
            : null)
        {
            end = await waiter.Ended;
        }

        return end switch
        {
            WaitEnd.Granted => await Run(waiter.Lease, request, cancellationToken),
            WaitEnd.QueueTimedOut => throw deployment.WaitedTooLong(maxWait!.Value).ToException(),
            WaitEnd.Unavailable => throw new DeploymentUnavailableException(deployment.UnavailableMessage()),
            _ => throw new OperationCanceledException(cancellationToken),
        };
    }
}
