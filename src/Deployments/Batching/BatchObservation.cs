using System.Diagnostics;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Deployments;

/// <summary>One batch that somebody wants to know of. Made only then, where its handler is about to be called.</summary>
internal sealed class BatchObservation
{
    private readonly DeploymentContext _context;
    private readonly TimeSpan _waited;
    private readonly long _since;
    private readonly int _size;
    private readonly Activity? _work;

    private BatchObservation(DeploymentContext context, long firstSince, ActivityContext[] callers)
    {
        _context = context;
        _since = context.Time.GetTimestamp();
        _waited = context.Time.GetElapsedTime(firstSince, _since);
        _size = callers.Length;
        _work = context.Telemetry.Spans.StartActivity(
            ActivityKind.Internal, parentContext: default, links: callers.Where(c => c != default).Select(c => new ActivityLink(c)), name: SpanNames.HandleBatch);
        if (_work is { IsAllDataRequested: true })
        {
            _work.SetTag(SpanNames.ApplicationTag, context.Application);
            _work.SetTag(SpanNames.DeploymentTag, context.Deployment);
            _work.SetTag(SpanNames.ReplicaTag, context.ReplicaId);
            _work.SetTag(SpanNames.BatchSizeTag, _size);
        }
    }

    public static BatchObservation? Begin<TRequest, TResponse>(DeploymentContext context, BatchItem<TRequest, TResponse>[] items) =>
        context.Telemetry.HearsBatches ? new(context, items[0].Since, [.. items.Select(i => i.Caller)]) : null;

    /// <param name="error">What the handler threw; <see langword="null"/> = it did not.</param>
    public void End(Exception? error)
    {
        _context.Telemetry.BatchEnded(_context.Measures, _size, _waited, _context.Time.GetElapsedTime(_since));
        if (_work is null)
        {
            return;
        }

        if (error is not null)
        {
            _work.SetTag(SpanNames.ErrorTag, error.GetType().FullName);
            _work.SetStatus(ActivityStatusCode.Error);
        }

        _work.Dispose();
    }
}
