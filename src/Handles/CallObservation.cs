using System.Diagnostics;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Handles;

/// <summary>
/// One call of a deployment that somebody wants to know of: its spans, and how long it waited and worked. Made only then (<see cref="ServedDeployment.Observe"/>), inside an asynchronous method, so that
/// its spans are the ambient ones of the call and of nothing else. The default is a call that nobody wants to know of.
/// </summary>
internal struct CallObservation
{
    private readonly ServedDeployment? _deployment;
    private readonly Activity? _call;
    private Activity? _work;
    private long _since;
    private bool _waits;
    private bool _works;

    /// <param name="deployment">Which is asked.</param>
    /// <param name="since">When the call came.</param>
    public CallObservation(ServedDeployment deployment, long since)
    {
        _deployment = deployment;
        _since = since;
        _call = Start(deployment, SpanNames.RouteToReplica);
    }

    public readonly bool IsHeard => _deployment is not null;

    /// <summary>No replica has it at once. One that does not wait is not asked for the time when it runs: to look at the clock is most of what all this costs.</summary>
    public void Waits() => _waits = true;

    /// <summary>A replica has it.</summary>
    public void Runs(Replica replica)
    {
        if (_deployment is null)
        {
            return;
        }

        long now = _waits ? _deployment.Time.GetTimestamp() : _since;
        _deployment.Telemetry.Waited(_deployment.Measures, _deployment.Time.GetElapsedTime(_since, now));
        _since = now;
        _waits = false;
        _works = true;
        _work = Start(_deployment, SpanNames.HandleRequest);
        _work?.SetTag(SpanNames.ReplicaTag, replica.Id);
    }

    /// <summary>Makes its span the ambient one, until the calling asynchronous method returns.</summary>
    public readonly void Enter()
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
            long now = _deployment!.Time.GetTimestamp();
            _deployment.Telemetry.Worked(_deployment.Measures, _deployment.Time.GetElapsedTime(_since, now));
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

    private static Activity? Start(ServedDeployment deployment, string name)
    {
        if (!deployment.Telemetry.Spans.HasListeners())
        {
            return null;
        }

        Activity? activity = deployment.Telemetry.Spans.StartActivity(name);
        if (activity is { IsAllDataRequested: true })
        {
            activity.SetTag(SpanNames.ApplicationTag, deployment.Application);
            activity.SetTag(SpanNames.DeploymentTag, deployment.Name);
            if (RequestScope.Current is { } scope)
            {
                activity.SetTag(SpanNames.RequestIdTag, scope.RequestId);
                activity.SetTag(SpanNames.ModelTag, scope.ModelId);
            }
        }

        return activity;
    }
}
