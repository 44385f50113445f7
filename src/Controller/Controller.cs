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
    private readonly ServeEnvironment _environment;
    private readonly ServingState _serving;
    private readonly ILogger _logger;
    private readonly Reconciler _reconciler;
    private readonly Channel<ControllerMessage> _messages = Channel.CreateUnbounded<ControllerMessage>(new() { SingleReader = true });
    private readonly ScalingRound _scaling;
    private readonly RunningApplications _applications;
    private readonly AppliedGoals _goals;
    private readonly ITimer _timer;
    private ControllerStatus _status = ControllerStatus.Empty;
    private bool _hasBegun;
    private TaskCompletionSource? _shutdown;

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
        _environment = environment;
        _serving = serving;
        _logger = environment.Loggers.CreateLogger(LogCategories.Controller);
        _reconciler = new(environment, _logger, (acts ?? (tell => new ReplicaActs(environment, _logger, tell)))(Tell));
        _scaling = new(registry, environment, _logger, () => Tell(new ControllerMessage.Woken()));
        _applications = new(code ?? (goal => registry.Applications[goal.Code.ImportPath!]), environment, _logger, _scaling);
        _goals = new(_applications, _scaling);
        environment.Telemetry.Follow(new MeasuredStatus(() => Status));
        _timer = environment.Time.CreateTimer(
            static controller => ((Controller)controller!).Tell(new ControllerMessage.Tick()), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public ControllerStatus Status => Volatile.Read(ref _status);

    /// <summary>Those that shall have replicas. Only the controller's loop may look.</summary>
    public IEnumerable<DeploymentState> Deployments => _applications.Deployments;

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
            foreach (ApplicationState application in _hasBegun ? _applications.All : Enumerable.Empty<ApplicationState>())
            {
                Look(application, now);
            }

            _applications.CarryOut(_reconciler.HasLeft);
        }
        while (_scaling.MustShare || _goals.EndSettled());

        _goals.NoteRecovery();
        Publish();
        taken?.ForEach(request => request.Take());
        _goals.Tell();
        SetTimer();
        if (_shutdown is null || _applications.Departures.Count > 0)
        {
            return false;
        }

        _timer.Dispose();
        _messages.Writer.TryComplete();
        while (_messages.Reader.TryRead(out ControllerMessage? late))
        {
            if (late is ControllerMessage.Apply apply)
            {
                apply.Request.Complete(ApplyOutcome.Stopped);
            }
        }

        _shutdown.TrySetResult();
        return true;
    }

    /// <summary>Lets replicas start, where the controller was told to wait.</summary>
    public void Begin() => Tell(new ControllerMessage.Begin());

    /// <summary>Makes this the goal. Completes when everything runs as asked, has failed to, or the controller is shut down.</summary>
    public Task<ApplyOutcome> ApplyAsync(ApplyRequest request)
    {
        if (!_messages.Writer.TryWrite(new ControllerMessage.Apply(request)))
        {
            request.Complete(ApplyOutcome.Stopped);
        }

        return request.Settled;
    }

    /// <summary>Completes a goal: applications of it have been built, or cannot be. Where another goal has taken its place, nothing happens.</summary>
    public void Complete(ApplyRequest request, IReadOnlyList<ApplicationGoal> built) => Tell(new ControllerMessage.Built(request, built));

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
            case ControllerMessage.Apply apply when _shutdown is not null:
                apply.Request.Complete(ApplyOutcome.Stopped);
                break;
            case ControllerMessage.Apply apply:
                _goals.Take(apply.Request);
                break;
            case ControllerMessage.Built built:
                _goals.Complete(built.Request, built.Goals);
                break;
            case ControllerMessage.Shutdown shutdown:
                _shutdown = shutdown.Done;
                _applications.TakeOutAll();
                _goals.Stop();
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
                DeploymentState about = _reconciler.Take(message);
                _applications.MarkDirty(about);
                if (message is ControllerMessage.WornOut or ControllerMessage.ReconfigureFailed)
                {
                    // One that must go is replaced as in a rollout, which shares the box with others.
                    _scaling.ShareAgain();
                }

                break;
        }
    }

    /// <summary>Who goes back does so first, so that the box is shared with what was good, and no replica of what has failed is given requests.</summary>
    private void Scale(long now)
    {
        do
        {
            foreach (ApplicationState application in _applications.All)
            {
                if (application.IsDirty && application.MustRollBack)
                {
                    Guarded(application, now, _applications.RollBack);
                }
            }

            if (_scaling.IsDue(now))
            {
                foreach (DeploymentState changed in _scaling.Look([.. _applications.Deployments], now))
                {
                    _applications.MarkDirty(changed);
                }
            }
        }
        while (_scaling.MustShare || _applications.All.Any(a => a.IsDirty && a.MustRollBack));
    }

    /// <summary>What follows from a look may call for another, as a revision that takes over does.</summary>
    private void Look(ApplicationState application, long now)
    {
        while (application.IsDirty || application.LookAgainAt <= now)
        {
            application.IsDirty = false;
            Guarded(application, now, a => LookOnce(a, now));
            application.Report = StatusReport.Of(application);
        }
    }

    private void LookOnce(ApplicationState application, long now)
    {
        application.LookAgainAt = _reconciler.Look(application, now);
        _applications.Promote(application);
        if (application.IsAtGoal)
        {
            _applications.Settle(application);
        }
    }

    private void Guarded(ApplicationState application, long now, Action<ApplicationState> work)
    {
        try
        {
            work(application);
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

    private void Publish()
    {
        List<ApplicationState> applications = [.. _goals.Applications];
        IReadOnlyList<string?> prefixes = RoutePrefixes.Assign(applications, _serving.Current);
        List<ServedApplication> served = [.. applications.Select((a, i) => StatusReport.ServedOf(a, prefixes[i]))];
        if (!served.SequenceEqual(_serving.Current.Applications))
        {
            _serving.Publish(new(served));
        }

        Volatile.Write(ref _status, new(
            [.. applications.Select(a => a.Report ??= StatusReport.Of(a)), .. _applications.Departures.Where(d => _applications.Find(d.Application) is null).DistinctBy(d => d.Application).Select(StatusReport.Of)])
        {
            Departing = [.. _applications.Departures.SelectMany(d => d.Deployments).Select(StatusReport.Of)],
            Box = _scaling.Shared,
        });
    }

    private void SetTimer()
    {
        long at = Math.Min(_scaling.DueAt, _applications.All.Select(a => a.LookAgainAt).DefaultIfEmpty(long.MaxValue).Min());
        TimeSpan wait = at == long.MaxValue ? Timeout.InfiniteTimeSpan
            : TimeSpan.FromMilliseconds(Math.Max(0, Math.Ceiling(_environment.Time.GetElapsedTime(_environment.Time.GetTimestamp(), at).TotalMilliseconds)));
        _timer.Change(wait, Timeout.InfiniteTimeSpan);
        if (at <= _environment.Time.GetTimestamp())
        {
            // The timer counts from when it is set, and time has gone on since the wait was reckoned.
            Tell(new ControllerMessage.Tick());
        }
    }
}
