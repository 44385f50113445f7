using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>The goals that were applied, from being taken to the answer how they ended. Only the controller's loop touches it.</summary>
internal sealed class AppliedGoals(RunningApplications applications, ScalingRound scaling)
{
    private readonly List<AppliedGoal> _open = [];

    /// <summary>What is known to have ended, and was not told yet.</summary>
    private readonly List<(ApplyRequest Request, ApplyOutcome Outcome)> _ended = [];

    private ApplyRequest? _recovered;

    private ApplyRequest? _newest;

    /// <summary>The newest goal, if it was reported to have failed: it may still come up.</summary>
    private ApplyRequest? _failed;

    /// <summary>Names of applications in the order in which they were written.</summary>
    private IReadOnlyList<string> _order = [];

    /// <summary>In the order in which they were written.</summary>
    public IEnumerable<ApplicationState> Applications => _order.Select(applications.Find).OfType<ApplicationState>();

    public void Take(ApplyRequest request)
    {
        _newest = request;
        _failed = null;
        scaling.ShareAgain(request.Box);
        AppliedGoal apply = new(request);
        HashSet<string> wanted = [.. request.Goals.Select(g => g.Name)];
        foreach (ApplicationState gone in applications.All.Where(a => !wanted.Contains(a.Name)).ToList())
        {
            // All or nothing: what is to go goes when what is to come has come.
            if (request.Atomic)
            {
                apply.Removed.Add(gone.Name);
            }
            else
            {
                applications.Remove(gone);
            }
        }

        foreach (ApplicationGoal goal in request.Goals)
        {
            apply.Before[goal.Name] = applications.Find(goal.Name)?.Good;
            applications.Take(goal, request.Force);
        }

        _order = [.. request.Goals.Select(g => g.Name).Concat(apply.Removed)];
        _open.Add(apply);
    }

    /// <summary>The server ends: there is no goal any more, and what is open stays so. That nothing is left to wait for is no success.</summary>
    public void Stop()
    {
        _ended.AddRange(_open.Select(static apply => (apply.Request, ApplyOutcome.Stopped)));
        _open.Clear();
        _newest = _failed = null;
        _order = [];
    }

    /// <summary>Applications of a goal have been built, or cannot be.</summary>
    public void Complete(ApplyRequest request, IReadOnlyList<ApplicationGoal> built)
    {
        foreach (ApplicationGoal goal in built)
        {
            if (ReferenceEquals(request, _newest) && applications.Find(goal.Name) is { } application && application.Wanted != goal)
            {
                applications.Take(goal, request.Force);
            }
        }
    }

    /// <summary>Ends what was applied once nothing more will happen by itself. <see langword="true"/> if that has changed a goal.</summary>
    public bool EndSettled()
    {
        if (_open.Count == 0 || !applications.All.All(a => a.IsSettled))
        {
            return false;
        }

        List<string> failures = [.. Applications.SelectMany(Reconciler.Failures)];
        bool changed = false;
        foreach (AppliedGoal apply in _open.Where(a => a.Request.Atomic && !a.WasUndone))
        {
            changed = true;
            apply.WasUndone = true;
            if (failures.Count > 0)
            {
                Undo(apply, failures);
            }
            else
            {
                apply.Removed.Select(applications.Find).OfType<ApplicationState>().ToList().ForEach(applications.Remove);
            }
        }

        if (changed)
        {
            return true;
        }

        foreach (AppliedGoal apply in _open)
        {
            _ended.Add((apply.Request, new(apply.Failures ?? failures)));
            _failed = failures.Count > 0 ? apply.Request : null;
        }

        _open.Clear();
        return false;
    }

    /// <summary>What was reported to have failed may have come up since.</summary>
    public void NoteRecovery()
    {
        if (_failed is not null && applications.All.All(a => a.IsAtGoal && a.Failure is null && !a.Serving.Deployments.Any(d => d.IsCrashLooping)))
        {
            _recovered = _failed;
            _failed = null;
        }
    }

    /// <summary>Tells how goals have ended. Only when the status that shows it is published: who is told looks there.</summary>
    public void Tell()
    {
        foreach ((ApplyRequest request, ApplyOutcome outcome) in _ended)
        {
            request.Complete(outcome);
        }

        _ended.Clear();
        _recovered?.Recover();
        _recovered = null;
    }

    /// <summary>One application has failed, so all go back to where they were.</summary>
    private void Undo(AppliedGoal apply, List<string> failures)
    {
        apply.Failures = failures;
        foreach ((string name, ApplicationGoal? before) in apply.Before)
        {
            if (applications.Find(name) is not { } application)
            {
                continue;
            }

            if (before is null)
            {
                applications.Remove(application);
            }
            else if (application.Goal != before)
            {
                applications.Undo(application, before, Sentences.Join(["Another application of the same atomic deploy failed.", .. failures]));
            }
        }
    }
}
