using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>A streamed call: its permit, its token, its time, until it is read.</summary>
internal sealed class HeldCall<TResponse>(RequestLease lease, CallCancellation cancellation, CallTime? time, RequestScope? scope, CallObservation observation, CancellationToken caller) : IHeldCall<TResponse>
{
    public TResponse Response { get; set; } = default!;

    public CancellationToken Token => cancellation.Token;

    public void Enter()
    {
        scope?.Join();
        observation.Enter();
    }

    public Exception Translate(Exception exception) =>
        exception is OperationCanceledException && time is { IsOver: true } ? time.ToException() : exception;

    public void End(bool completed, Exception? error)
    {
        cancellation.TryReset();
        time?.Dispose();

        // Who stops reading before the end has left.
        observation.End(completed ? null : error?.GetType().FullName ?? "left");
        lease.End(completed ? RequestEnd.Completed : error is null ? RequestEnd.Cancelled : CallEnds.Of(error, time, caller));
    }
}
