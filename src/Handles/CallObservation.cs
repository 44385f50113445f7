using System.Diagnostics;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>
/// One call of a deployment that somebody wants to know of: its spans, and how long it waited and worked. Made only then (<see cref="ServedDeployment.Observe"/>), inside an asynchronous method, so that
/// its spans are the ambient ones of the call and of nothing else.
/// </summary>
internal sealed class CallObservation
{
    private readonly ServedDeployment _deployment;
    private readonly Activity? _call;
    private Activity? _work;
    private long _since;
    private bool _works;

    public CallObservation(ServedDeployment deployment)
    {
        _deployment = deployment;
        _since = deployment.Time.GetTimestamp();
        _call = Start(SpanNames.RouteToReplica);
    }

    /// <summary>A replica has it.</summary>
    public void Runs(Replica replica)
    {
        long now = _deployment.Time.GetTimestamp();
        _deployment.Telemetry.Waited(_deployment.Tags, _deployment.Time.GetElapsedTime(_since, now));
        _since = now;
        _works = true;
        _work = Start(SpanNames.HandleRequest);
        _work?.SetTag(SpanNames.ReplicaTag, replica.Id);
    }

    /// <summary>Makes its span the ambient one, until the calling asynchronous method returns.</summary>
    public void Enter()
    {
        if ((_work ?? _call) is { } activity)
        {
            Activity.Current = activity;
        }
    }

    /// <summary>Its handler has ended.</summary>
    /// <param name="trouble">Why it did not end well; <see langword="null"/> = it did.</param>
    public void Worked(string? trouble)
    {
        if (_works)
        {
            long now = _deployment.Time.GetTimestamp();
            _deployment.Telemetry.Worked(_deployment.Tags, _deployment.Time.GetElapsedTime(_since, now));
            _works = false;

            // A request whose worker died waits once more from here.
            _since = now;
            End(_work, trouble);
        }
    }

    /// <summary>It is over.</summary>
    /// <param name="trouble">Why it did not end well; <see langword="null"/> = it did.</param>
    public void End(string? trouble)
    {
        Worked(trouble);
        End(_call, trouble);
    }

    private static void End(Activity? activity, string? trouble)
    {
        if (activity is null)
        {
            return;
        }

        if (trouble is not null)
        {
            activity.SetTag(SpanNames.ErrorTag, trouble);
            activity.SetStatus(ActivityStatusCode.Error);
        }

        activity.Dispose();
    }

    private Activity? Start(string name)
    {
        Activity? activity = _deployment.Telemetry.Spans.StartActivity(name);
        if (activity is { IsAllDataRequested: true })
        {
            activity.SetTag(SpanNames.ApplicationTag, _deployment.Application);
            activity.SetTag(SpanNames.DeploymentTag, _deployment.Name);
            if (RequestScope.Current is { } scope)
            {
                activity.SetTag(SpanNames.RequestIdTag, scope.RequestId);
                activity.SetTag(SpanNames.ModelTag, scope.ModelId);
            }
        }

        return activity;
    }
}
