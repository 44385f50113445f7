using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>
/// The single writer of goal and running state. One loop takes messages in order: it changes the goal or what is known of a replica, asks the
/// <see cref="Planner"/> what to do now, starts doing it, and publishes what is served. What takes time runs beside the loop and reports back.
/// </summary>
internal sealed class Controller
{
    private readonly DeploymentRegistry _registry;
    private readonly ServeEnvironment _environment;
    private readonly ServingState _serving;
    private readonly ILogger _logger;
    private readonly ReplicaLife _life;
    private readonly Channel<ControllerMessage> _messages = Channel.CreateUnbounded<ControllerMessage>(new() { SingleReader = true });
    private readonly List<ApplicationState> _applications = [];

    /// <summary>Revisions that are out of service and still have replicas.</summary>
    private readonly List<Revision> _retired = [];
    private readonly List<TaskCompletionSource<ApplyOutcome>> _settling = [];
    private ControllerStatus _status = ControllerStatus.Empty;
    private TaskCompletionSource? _shutdown;

    public Controller(DeploymentRegistry registry, ServingState serving, ServeEnvironment environment)
    {
        _registry = registry;
        _environment = environment;
        _serving = serving;
        _logger = environment.Loggers.CreateLogger(LogCategories.Controller);
        _life = new(environment, _logger, message => _messages.Writer.TryWrite(message));
    }

    public ControllerStatus Status => Volatile.Read(ref _status);

    /// <summary>Runs the loop until it is shut down.</summary>
    public async Task RunAsync()
    {
        await foreach (ControllerMessage message in _messages.Reader.ReadAllAsync())
        {
            Handle(message);
            Reconcile();
            Publish();
            CompleteSettled();
            if (_shutdown is not null && _retired.Count == 0)
            {
                _shutdown.TrySetResult();
                return;
            }
        }
    }

    /// <summary>Makes this the goal. Completes when everything runs as asked, or has failed to.</summary>
    public Task<ApplyOutcome> ApplyAsync(IReadOnlyList<ApplicationGoal> goal)
    {
        TaskCompletionSource<ApplyOutcome> settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _messages.Writer.TryWrite(new ControllerMessage.Apply(goal, settled));
        return settled.Task;
    }

    /// <summary>Takes everything out of service and ends every replica.</summary>
    public Task ShutdownAsync()
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _messages.Writer.TryWrite(new ControllerMessage.Shutdown(done));
        return done.Task;
    }

    private void Handle(ControllerMessage message)
    {
        switch (message)
        {
            case ControllerMessage.Apply apply:
                TakeGoal(apply.Goal);
                _settling.Add(apply.Settled);
                break;
            case ControllerMessage.Started started:
                Started(started);
                break;
            case ControllerMessage.StartFailed failed:
                failed.Replica.MoveTo(ReplicaState.Failed);
                failed.Deployment.Remove(failed.Replica);
                failed.Deployment.StartFailed(failed.Error.Message);
                Log.ReplicaStartFailed(_logger, failed.Replica.Id, failed.Deployment.Name, failed.Deployment.Served.Application, failed.Error);
                break;
            case ControllerMessage.Reconfigured done:
                Updated(done.Deployment, done.Replica);
                done.Deployment.ReplicaTook(done.Replica, done.UserConfig);
                break;
            case ControllerMessage.ReconfigureFailed refused:
                Updated(refused.Deployment, refused.Replica);
                refused.Deployment.ConfigRefused(refused.Error.Message);
                Log.UserConfigRefused(_logger, refused.Replica.Id, refused.Deployment.Name, refused.Deployment.Served.Application, refused.Error.Message);
                break;
            case ControllerMessage.Stopped stopped:
                stopped.Deployment.Remove(stopped.Replica);
                break;
            case ControllerMessage.End end:
                end.Deployment.BeginEnd();
                break;
            case ControllerMessage.Shutdown shutdown:
                _shutdown = shutdown.Done;
                TakeGoal([]);
                break;
        }
    }

    private void TakeGoal(IReadOnlyList<ApplicationGoal> goal)
    {
        foreach (ApplicationState gone in _applications.Where(a => goal.All(g => g.Name != a.Goal.Name)).ToList())
        {
            _applications.Remove(gone);
            Retire(gone.Serving);
            Retire(gone.Coming);
            Log.ApplicationRemoved(_logger, gone.Goal.Name);
        }

        foreach (ApplicationGoal wanted in goal)
        {
            ApplicationState? application = _applications.FirstOrDefault(a => a.Goal.Name == wanted.Name);
            if (application is null)
            {
                _applications.Add(new(wanted, new(wanted, _registry.Applications[wanted.ImportPath], _environment), _environment.Time.GetUtcNow()));
            }
            else if (application.Goal != wanted)
            {
                Change(application, wanted);
            }
        }
    }

    private void Change(ApplicationState application, ApplicationGoal wanted)
    {
        application.Goal = wanted;
        application.Failure = null;
        application.DeployedAt = _environment.Time.GetUtcNow();
        if (application.Serving.ImportPath == wanted.ImportPath)
        {
            Retire(application.Coming);
            application.Coming = null;
            application.Serving.Take(wanted);
        }
        else if (application.Coming?.ImportPath == wanted.ImportPath)
        {
            application.Coming.Take(wanted);
        }
        else
        {
            Retire(application.Coming);
            application.Coming = new(wanted, _registry.Applications[wanted.ImportPath], _environment);
        }
    }

    private void Started(ControllerMessage.Started started)
    {
        (DeploymentState deployment, Replica replica, string? userConfig) = started;
        replica.MoveTo(ReplicaState.Running);
        deployment.ReplicaTook(replica, userConfig);
        deployment.Served.Gate.SetUnavailable(false);
        deployment.Served.Gate.AddReplica(replica, deployment.Goal.MaxOngoingRequests);
        Log.ReplicaStarted(_logger, replica.Id, deployment.Name, deployment.Served.Application);
    }

    /// <summary>A reconfigure has ended, well or not. The replica may have been told to stop meanwhile.</summary>
    private static void Updated(DeploymentState deployment, Replica replica)
    {
        if (replica.State == ReplicaState.Updating)
        {
            replica.MoveTo(ReplicaState.Running);
        }
    }

    private void Reconcile()
    {
        foreach (ApplicationState application in _applications)
        {
            Reconcile(application.Serving);
            if (application.Coming is { } coming)
            {
                Reconcile(coming);
                Promote(application, coming);
            }
        }

        foreach (Revision revision in _retired.ToList())
        {
            EndReplicas(revision);
            if (revision.Deployments.All(d => d.HasEnded))
            {
                _retired.Remove(revision);
            }
        }
    }

    /// <summary>Ends what a retired revision still runs, where its turn has come; a replica that was still starting ends when it is up.</summary>
    private void EndReplicas(Revision revision)
    {
        foreach (DeploymentState deployment in revision.Deployments.Where(d => d.IsEnding))
        {
            foreach (ReplicaEntry entry in deployment.Replicas.Where(r => r.Replica.State.TakesRequests()).ToList())
            {
                Stop(deployment, entry.Replica);
            }

            deployment.CompleteEnd();
        }
    }

    private void Reconcile(Revision revision)
    {
        foreach (DeploymentState deployment in revision.Deployments)
        {
            foreach (ReplicaAction action in Planner.Plan(deployment.Goal, deployment.Observe()))
            {
                Act(revision, deployment, action);
            }

            if (deployment.IsAtGoal)
            {
                deployment.BecameHealthy();
            }
            else if (deployment.GivenUp && !deployment.HasRunning && !deployment.IsStarting)
            {
                deployment.Served.Gate.SetUnavailable(true);
            }
        }
    }

    private void Act(Revision revision, DeploymentState deployment, ReplicaAction action)
    {
        switch (action)
        {
            case ReplicaAction.Start:
                Replica replica = new(_life.NewId(), deployment.Served.Definition, _environment.Time);
                deployment.Add(replica);
                _ = _life.StartAsync(deployment, replica, deployment.Goal.UserConfig, revision.ByName());
                break;
            case ReplicaAction.Stop stop:
                Stop(deployment, deployment.Find(stop.Id).Replica);
                break;
            case ReplicaAction.Resize resize:
                deployment.Served.Gate.Resize(deployment.Find(resize.Id).Replica, deployment.Goal.MaxOngoingRequests);
                break;
            case ReplicaAction.Reconfigure reconfigure:
                Replica changed = deployment.Find(reconfigure.Id).Replica;
                changed.MoveTo(ReplicaState.Updating);
                _ = _life.ReconfigureAsync(deployment, changed, deployment.Goal.UserConfig!);
                break;
        }
    }

    private void Stop(DeploymentState deployment, Replica replica)
    {
        replica.MoveTo(ReplicaState.Draining);
        deployment.Served.Gate.RemoveReplica(replica);
        _ = _life.StopAsync(deployment, replica, deployment.Goal.GracefulShutdownTimeout);
    }

    /// <summary>A revision that is up takes over; one that cannot come up goes, and the old one stays.</summary>
    private void Promote(ApplicationState application, Revision coming)
    {
        if (coming.IsAtGoal)
        {
            Revision old = application.Serving;
            application.Serving = coming;
            application.Coming = null;
            Retire(old);
        }
        else if (coming.IsFailed)
        {
            application.Failure = string.Join(" ", coming.Deployments.Where(d => d.Status == DeploymentStatus.DeployFailed).Select(d => $"{d.Name}: {d.Message}"));
            application.Coming = null;
            Retire(coming);
            Log.RevisionFailed(_logger, application.Goal.Name, coming.ImportPath, application.Serving.ImportPath, application.Failure);
        }
    }

    /// <summary>Takes a revision out of service: who was admitted is served, then its replicas end, callers before callees.</summary>
    private void Retire(Revision? revision)
    {
        if (revision is null)
        {
            return;
        }

        _retired.Add(revision);
        foreach (DeploymentState deployment in revision.Deployments)
        {
            deployment.Delete();
        }

        _ = RetireAsync(revision);
    }

    private async Task RetireAsync(Revision revision)
    {
        foreach (DeploymentState deployment in revision.Deployments)
        {
            await _life.WaitersAsync(deployment, deployment.Goal.GracefulShutdownTimeout);
            _messages.Writer.TryWrite(new ControllerMessage.End(deployment));
            await deployment.Ended;
        }
    }

    private void Publish()
    {
        List<ServedApplication> served = [.. _applications.Select(a => new ServedApplication(
            a.Goal.Name,
            a.Goal.RoutePrefix,
            a.Serving.Ingress.Served,
            a.Serving.Handle,
            a.Goal.RequestTimeout,
            a.Goal.StreamTimeout,
            a.Serving.Ingress.IsStarting))];
        if (!served.SequenceEqual(_serving.Current.Applications))
        {
            _serving.Publish(new(served));
        }

        Volatile.Write(ref _status, new([.. _applications.Select(Report)]));
    }

    private static ApplicationReport Report(ApplicationState application)
    {
        (ApplicationStatus status, string message) = Statuses.Of([.. application.Serving.Deployments.Select(d => (d.Name, d.Status))]);
        if (application.Failure is { } failure)
        {
            (status, message) = (ApplicationStatus.DeployFailed, failure);
        }
        else if (application.Coming is not null)
        {
            status = ApplicationStatus.Deploying;
        }

        return new(
            application.Goal.Name,
            application.Goal.RoutePrefix,
            application.Serving.ImportPath,
            status,
            message,
            application.DeployedAt,
            [.. application.Serving.Deployments.Select(d => new DeploymentReport(d.Goal, d.Status, d.Trigger, d.Message, d.Served, [.. d.Replicas.Select(r => r.Replica)]))]);
    }

    private void CompleteSettled()
    {
        if (_settling.Count == 0 || !_applications.All(a => a.Coming is null && a.Serving.IsSettled))
        {
            return;
        }

        List<string> failures = [.. _applications
            .Where(a => a.Failure is not null)
            .Select(a => $"Application '{a.Goal.Name}': {a.Failure}")
            .Concat(_applications.SelectMany(a => a.Serving.Deployments
                .Where(d => d.Status is DeploymentStatus.DeployFailed or DeploymentStatus.Unhealthy)
                .Select(d => $"Deployment '{d.Name}' of application '{a.Goal.Name}': {d.Message}")))];
        foreach (TaskCompletionSource<ApplyOutcome> settled in _settling)
        {
            settled.TrySetResult(new(failures));
        }

        _settling.Clear();
    }
}
