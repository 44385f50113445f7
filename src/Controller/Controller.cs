using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>
/// The single writer of goal and running state. One loop takes messages in order and, when it has taken all there are, looks at every application that something
/// has happened to: <see cref="Reconciler"/> asks the <see cref="Planner"/> what to do now and starts doing it. What takes time runs beside the loop and reports back.
/// </summary>
internal sealed class Controller
{
    private readonly Func<ApplicationGoal, ApplicationDefinition> _code;
    private readonly ServeEnvironment _environment;
    private readonly ServingState _serving;
    private readonly ILogger _logger;
    private readonly Reconciler _reconciler;
    private readonly Channel<ControllerMessage> _messages = Channel.CreateUnbounded<ControllerMessage>(new() { SingleReader = true });
    private readonly Dictionary<string, ApplicationState> _applications = new(StringComparer.Ordinal);
    private readonly List<Departure> _departures = [];
    private readonly List<AppliedGoal> _applies = [];
    private readonly ScalingRound _scaling;
    private readonly ITimer _timer;
    private IReadOnlyList<string> _order = [];
    private ControllerStatus _status = ControllerStatus.Empty;
    private bool _hasBegun;
    private TaskCompletionSource? _shutdown;

    /// <summary>The newest goal, if it was reported to have failed: it may still come up.</summary>
    private ApplyRequest? _failed;

    /// <param name="registry">The applications that are compiled in.</param>
    /// <param name="serving">Where to publish what is served.</param>
    /// <param name="environment">Clock, chance, logs.</param>
    /// <param name="acts">Makes what acts on replicas, given where it tells how it ended; <see langword="null"/> = the real ones.</param>
    /// <param name="code">Finds what an application is made from; <see langword="null"/> = in the registry.</param>
    /// <param name="waits">Routes are published but no replica starts before <see cref="Begin"/>: a model is not loaded for a server that cannot listen.</param>
    public Controller(
        DeploymentRegistry registry,
        ServingState serving,
        ServeEnvironment environment,
        Func<Action<ControllerMessage>, IReplicaActs>? acts = null,
        Func<ApplicationGoal, ApplicationDefinition>? code = null,
        bool waits = false)
    {
        _hasBegun = !waits;
        _code = code ?? (goal => registry.Applications[goal.Code.ImportPath!]);
        _environment = environment;
        _serving = serving;
        _logger = environment.Loggers.CreateLogger(LogCategories.Controller);
        _reconciler = new(environment, _logger, (acts ?? (tell => new ReplicaActs(environment, _logger, tell)))(Tell));
        _scaling = new(registry, environment, _logger, () => Tell(new ControllerMessage.Woken()));
        _timer = environment.Time.CreateTimer(
            static controller => ((Controller)controller!).Tell(new ControllerMessage.Tick()), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public ControllerStatus Status => Volatile.Read(ref _status);

    /// <summary>Runs the loop until it is shut down.</summary>
    public async Task RunAsync()
    {
        while (await _messages.Reader.WaitToReadAsync())
        {
            if (Step())
            {
                return;
            }
        }
    }

    /// <summary>Takes every message that has come, and does what follows. <see langword="true"/> when it is shut down and nothing runs any more.</summary>
    public bool Step()
    {
        List<ApplyRequest>? taken = null;
        while (_messages.Reader.TryRead(out ControllerMessage? message))
        {
            Take(message);
            if (message is ControllerMessage.Apply apply)
            {
                (taken ??= []).Add(apply.Request);
            }
        }

        long now = _environment.Time.GetTimestamp();
        do
        {
            Scale(now);
            foreach (ApplicationState application in _hasBegun ? _applications.Values : Enumerable.Empty<ApplicationState>())
            {
                Look(application, now);
            }

            _departures.RemoveAll(_reconciler.HasLeft);
        }
        while (CompleteSettled());

        if (_failed is not null && _applications.Values.All(a => a.IsAtGoal && a.Failure is null))
        {
            _failed.Recover();
            _failed = null;
        }

        Publish();
        taken?.ForEach(request => request.Take());
        SetTimer();
        if (_shutdown is null || _departures.Count > 0)
        {
            return false;
        }

        _timer.Dispose();
        _shutdown.TrySetResult();
        return true;
    }

    /// <summary>Lets replicas start, where the controller was told to wait.</summary>
    public void Begin() => Tell(new ControllerMessage.Begin());

    /// <summary>Makes this the goal. Completes when everything runs as asked, or has failed to.</summary>
    public Task<ApplyOutcome> ApplyAsync(ApplyRequest request)
    {
        Tell(new ControllerMessage.Apply(request));
        return request.Settled;
    }

    /// <summary>Takes everything out of service and ends every replica.</summary>
    public Task ShutdownAsync()
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Tell(new ControllerMessage.Shutdown(done));
        return done.Task;
    }

    private void Tell(ControllerMessage message) => _messages.Writer.TryWrite(message);

    private void Take(ControllerMessage message)
    {
        switch (message)
        {
            case ControllerMessage.Apply apply:
                _applies.Add(TakeGoal(apply.Request));
                break;
            case ControllerMessage.Shutdown shutdown:
                _shutdown = shutdown.Done;
                TakeGoal(new([]));
                break;
            case ControllerMessage.Woken:
                _scaling.DecideNow();
                break;
            case ControllerMessage.Begin:
                _hasBegun = true;
                break;
            case ControllerMessage.Tick:
                break;
            default:
                MarkDirty(_reconciler.Take(message));
                break;
        }
    }

    private void MarkDirty(DeploymentState deployment)
    {
        if (_applications.TryGetValue(deployment.Served.Application, out ApplicationState? application))
        {
            application.IsDirty = true;
        }
    }

    private AppliedGoal TakeGoal(ApplyRequest request)
    {
        _failed = null;
        _scaling.ShareAgain(request.Box);
        AppliedGoal apply = new(request);
        HashSet<string> wanted = [.. request.Goals.Select(g => g.Name)];
        foreach (ApplicationState gone in _applications.Values.Where(a => !wanted.Contains(a.Name)).ToList())
        {
            // All or nothing: what is to go goes when what is to come has come.
            if (request.Atomic)
            {
                apply.Removed.Add(gone.Name);
            }
            else
            {
                Remove(gone);
            }
        }

        foreach (ApplicationGoal goal in request.Goals)
        {
            ApplicationState? application = _applications.GetValueOrDefault(goal.Name);
            apply.Before[goal.Name] = application?.Good;
            TakeGoal(application, goal, request.Force);
        }

        _order = [.. request.Goals.Select(g => g.Name).Concat(apply.Removed)];
        return apply;
    }

    private void TakeGoal(ApplicationState? application, ApplicationGoal goal, bool force)
    {
        ApplicationDefinition definition = _code(goal);
        if (application is null)
        {
            _applications[goal.Name] = new(goal, new(goal, definition, _environment), _environment.Time.GetUtcNow());
            return;
        }

        application.IsDirty = true;
        if (application.Wanted != goal || force)
        {
            application.Want(goal, _environment.Time.GetUtcNow());
            Pursue(application, definition, rollsBack: false);
            if (force)
            {
                RetryNow(application);
            }
        }
        else if (application.Failure is { } failure)
        {
            Log.NotTriedAgain(_logger, goal.Name, failure);
        }
        else if (application.Serving.HasFailed)
        {
            RetryNow(application);
        }
    }

    /// <summary>The operator asks again: perhaps what was missing is there now.</summary>
    private static void RetryNow(ApplicationState application)
    {
        foreach (DeploymentState deployment in (application.Coming ?? application.Serving).Deployments)
        {
            deployment.RetryNow();
        }
    }

    /// <summary>Sets out for the application's goal.</summary>
    private void Pursue(ApplicationState application, ApplicationDefinition definition, bool rollsBack)
    {
        ApplicationGoal goal = application.Goal;
        if (application.Serving.CanBecome(definition))
        {
            Depart(application.Coming);
            application.Coming = null;
            application.Serving.Take(goal, definition, rollsBack, application.Leaving);
        }
        else if (application.Coming?.CanBecome(definition) == true)
        {
            List<DeploymentState> leaving = [];
            application.Coming.Take(goal, definition, rollsBack, leaving);
            Depart(leaving);
        }
        else
        {
            Depart(application.Coming);
            application.Coming = new(goal, definition, _environment);
        }
    }

    private void Scale(long now)
    {
        List<DeploymentState> all = [.. _applications.Values.SelectMany(a => a.Coming is { } coming ? a.Serving.Deployments.Concat(coming.Deployments) : a.Serving.Deployments)];
        foreach (DeploymentState changed in _scaling.Look(all, now))
        {
            MarkDirty(changed);
        }
    }

    /// <summary>What follows from a look may call for another: a revision that takes over, a way back.</summary>
    private void Look(ApplicationState application, long now)
    {
        while (application.IsDirty || application.LookAgainAt <= now)
        {
            application.IsDirty = false;
            LookOnce(application, now);
            application.Report = StatusReport.Of(application);
        }
    }

    private void LookOnce(ApplicationState application, long now)
    {
        try
        {
            // First, so that no replica of what has failed is given requests.
            if (application.MustRollBack)
            {
                RollBack(application, Reconciler.WhyFailed(application));
            }

            application.LookAgainAt = _reconciler.Look(application, now);
            Promote(application);
            if (application.IsAtGoal)
            {
                Reconciler.Settle(application);
                Depart(application.Leaving);
                application.Leaving.Clear();
            }
        }
#pragma warning disable CA1031 // One application's trouble is not the others'.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Log.ControllerFailed(_logger, application.Name, exception);
            application.Serving.Ingress.Failed(exception.Message);
            application.LookAgainAt = now + _environment.Time.TimestampFrequency;
        }
    }

    /// <summary>A revision that is up takes over, and the old one finishes what it has admitted.</summary>
    private void Promote(ApplicationState application)
    {
        if (application.Coming is not { } coming || (!coming.IsAtGoal && application.Good is not null))
        {
            return;
        }

        Depart(application.Serving);
        application.Serving = coming;
        application.Coming = null;
        application.IsDirty = true;
    }

    private void RollBack(ApplicationState application, string failure)
    {
        ApplicationGoal good = application.Good!;
        Log.RevisionFailed(_logger, application.Name, good.Code.ToString(), failure);
        application.RollBack(failure);
        Pursue(application, _code(good), rollsBack: true);
    }

    private void Remove(ApplicationState application)
    {
        _applications.Remove(application.Name);
        Depart(application.Serving);
        Depart(application.Coming);
        Depart(application.Leaving);
        Log.ApplicationRemoved(_logger, application.Name);
    }

    private void Depart(Revision? revision)
    {
        if (revision is not null)
        {
            Depart(revision.Deployments);
        }
    }

    /// <summary>Takes deployments out of service: who was admitted is served, then their replicas end, callers before callees.</summary>
    private void Depart(IReadOnlyList<DeploymentState> deployments)
    {
        if (deployments.Count > 0)
        {
            _departures.Add(new([.. deployments]));
        }
    }

    /// <summary>Completes what was applied once nothing more will happen by itself. <see langword="true"/> if that has changed a goal.</summary>
    private bool CompleteSettled()
    {
        if (_applies.Count == 0 || !_applications.Values.All(a => a.IsSettled))
        {
            return false;
        }

        List<string> failures = [.. _order.Select(n => _applications.GetValueOrDefault(n)).OfType<ApplicationState>().SelectMany(Reconciler.Failures)];
        bool changed = false;
        foreach (AppliedGoal apply in _applies.Where(a => a.Request.Atomic && !a.WasUndone))
        {
            changed = true;
            apply.WasUndone = true;
            if (failures.Count > 0)
            {
                Undo(apply, failures);
            }
            else
            {
                apply.Removed.Select(n => _applications.GetValueOrDefault(n)).OfType<ApplicationState>().ToList().ForEach(Remove);
            }
        }

        if (changed)
        {
            return true;
        }

        foreach (AppliedGoal apply in _applies)
        {
            apply.Request.Complete(apply.Failures ?? failures);
            _failed = failures.Count > 0 ? apply.Request : null;
        }

        _applies.Clear();
        return false;
    }

    /// <summary>One application has failed, so all go back to where they were.</summary>
    private void Undo(AppliedGoal apply, List<string> failures)
    {
        apply.Failures = failures;
        foreach ((string name, ApplicationGoal? before) in apply.Before)
        {
            if (!_applications.TryGetValue(name, out ApplicationState? application))
            {
                continue;
            }

            if (before is null)
            {
                Remove(application);
            }
            else if (application.Goal != before)
            {
                application.Undo(before, $"Another application of the same atomic deploy failed. {string.Join(" ", failures)}");
                Pursue(application, _code(before), rollsBack: true);
            }
        }
    }

    private void Publish()
    {
        List<ApplicationState> applications = [.. _order.Select(n => _applications.GetValueOrDefault(n)).OfType<ApplicationState>()];
        IReadOnlyList<string?> prefixes = RoutePrefixes.Assign(applications, _serving.Current);
        List<ServedApplication> served = [.. applications.Select((a, i) => StatusReport.ServedOf(a, prefixes[i]))];
        if (!served.SequenceEqual(_serving.Current.Applications))
        {
            _serving.Publish(new(served));
        }

        Volatile.Write(ref _status, new(
            [.. applications.Select(a => a.Report ??= StatusReport.Of(a)), .. _departures.Where(d => !_applications.ContainsKey(d.Application)).DistinctBy(d => d.Application).Select(StatusReport.Of)]));
    }

    private void SetTimer()
    {
        long at = Math.Min(_scaling.DueAt, _applications.Values.Select(a => a.LookAgainAt).DefaultIfEmpty(long.MaxValue).Min());
        TimeSpan wait = at == long.MaxValue ? Timeout.InfiniteTimeSpan
            : TimeSpan.FromMilliseconds(Math.Max(0, Math.Ceiling(_environment.Time.GetElapsedTime(_environment.Time.GetTimestamp(), at).TotalMilliseconds)));
        _timer.Change(wait, Timeout.InfiniteTimeSpan);
    }
}
