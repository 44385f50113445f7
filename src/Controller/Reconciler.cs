using Microsoft.Extensions.Logging;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>Carries one application on towards its goal: takes in what its replicas report, asks the planner, and acts. Runs on the controller's loop.</summary>
internal sealed class Reconciler(ServeEnvironment environment, ILogger logger, IReplicaActs acts)
{
    private static readonly TimeSpan SlowStart = TimeSpan.FromSeconds(30);

    /// <summary>Between the checks of a replica that took no connection, where its own period is not shorter.</summary>
    private static readonly TimeSpan DoubtPeriod = TimeSpan.FromSeconds(1);

    /// <summary>Takes in what a replica, or whoever acts on it, reports. Returns the deployment that it is about.</summary>
    public DeploymentState Take(ControllerMessage message)
    {
        DeploymentState deployment = TakeIn(message);
        deployment.TellHeldUp();
        return deployment;
    }

    private DeploymentState TakeIn(ControllerMessage message)
    {
        switch (message)
        {
            case ControllerMessage.Started started:
                Started(started);
                return started.Deployment;
            case ControllerMessage.StartFailed failed:
                StartFailed(failed);
                return failed.Deployment;
            case ControllerMessage.Reconfigured done:
                Updated(done.Deployment, done.Replica, done.UserConfig);
                return done.Deployment;
            case ControllerMessage.ReconfigureFailed refused:
                if (refused.Replica.State != ReplicaState.Updating)
                {
                    // It was told to stop meanwhile, and that may be why.
                    return refused.Deployment;
                }

                Updated(refused.Deployment, refused.Replica, refused.WasTaken ? refused.UserConfig : null);
                if (refused.Deployment.Goal.UserConfig == refused.UserConfig && refused.Deployment.Find(refused.Replica) is { } refusing)
                {
                    refused.Deployment.ConfigRefused(refusing, refused.UserConfig, refused.WasTaken, refused.Error.Message);
                }

                Log.UserConfigRefused(logger, refused.Replica.Id, refused.Deployment.Name, refused.Deployment.Served.Application, refused.Error.Message);
                return refused.Deployment;
            case ControllerMessage.Checked check:
                Checked(check);
                return check.Deployment;
            case ControllerMessage.Doubted doubted:
                Doubted(doubted);
                return doubted.Deployment;
            case ControllerMessage.Died died:
                Died(died);
                return died.Deployment;
            case ControllerMessage.WornOut worn:
                WornOut(worn);
                return worn.Deployment;
            case ControllerMessage.Abandoned abandoned:
                abandoned.Replica.MoveTo(ReplicaState.Abandoned);
                abandoned.Deployment.Remove(abandoned.Replica);
                abandoned.Deployment.Abandoned++;
                return abandoned.Deployment;
            case ControllerMessage.Stopped stopped:
                Stopped(stopped);
                return stopped.Deployment;
            case ControllerMessage.WaitersGone gone:
                gone.Deployment.Retirement = Retirement.Ending;
                gone.Deployment.Served.BecomesUnavailable("it is being removed, or the server ends");
                return gone.Deployment;
            default:
                throw new ArgumentOutOfRangeException(nameof(message), message, "The reconciler does not know this message.");
        }
    }

    /// <summary>Does what is to be done now. Returns when to look again though nothing has happened; a timestamp.</summary>
    public long Look(ApplicationState application, long now)
    {
        long lookAgainAt = long.MaxValue;
        if (application.Goal.IsBuilding)
        {
            return lookAgainAt;
        }

        foreach (Revision revision in application.Coming is { } coming ? (Revision[])[application.Serving, coming] : [application.Serving])
        {
            bool mayAdmit = application.MayAdmit |= revision.FirstWavesAreUp;
            foreach (DeploymentState deployment in revision.Deployments)
            {
                lookAgainAt = Math.Min(lookAgainAt, Look(revision, deployment, mayAdmit, now));
            }
        }

        if (application.Coming is null && !application.Serving.Restarts && application.InForce != application.Goal)
        {
            application.InForce = application.Goal;
            application.Serving.Enforce(application.Goal);
        }

        return lookAgainAt;
    }

    /// <summary>The goal is reached.</summary>
    public static void Settle(ApplicationState application)
    {
        application.Reached();
        foreach (DeploymentState deployment in application.Serving.Deployments)
        {
            deployment.Settled();
            CompactRanks(deployment);

            // What made the application go back stays as it failed, for everybody to see.
            if (application.Failure is null || deployment.Status != DeploymentStatus.DeployFailed)
            {
                deployment.BecameHealthy();
            }
        }
    }

    /// <summary>Carries what is on its way out on. <see langword="true"/> when nothing of it is left.</summary>
    public bool HasLeft(Departure departure)
    {
        foreach (DeploymentState deployment in departure.Deployments)
        {
            if (deployment.Retirement == Retirement.None)
            {
                deployment.Delete();
                deployment.Retirement = Retirement.Waiting;
                acts.AwaitWaiters(deployment, deployment.Goal.GracefulShutdownTimeout);
            }

            if (deployment.Retirement == Retirement.Ending)
            {
                foreach (ReplicaEntry entry in deployment.Replicas.Where(r => r.IsReady || r.Replica.State.TakesRequests()).ToList())
                {
                    Stop(deployment, entry);
                }

                if (deployment.Replicas.Count == 0)
                {
                    deployment.Retirement = Retirement.Ended;
                    deployment.Served.Dispose();
                }
            }

            if (deployment.Retirement != Retirement.Ended)
            {
                // Callees wait for their callers.
                return false;
            }
        }

        return true;
    }

    /// <summary>Why an application's goal was given up, in words for the operator.</summary>
    public static string WhyFailed(ApplicationState application) => Sentences.Join((application.Coming ?? application.Serving).Deployments
        .Where(d => d.HasFailed)
        .Select(d => $"Deployment '{d.Name}': {Sentences.Join(d.Message, d.LogTail.Count == 0 ? null : $"Its last log lines: {string.Join(" | ", d.LogTail)}")}"));

    public static IEnumerable<string> Failures(ApplicationState application) =>
        application.Failure is { } failure ? [$"Application '{application.Name}': {failure}"]
        : application.Serving.HasFailed ? [$"Application '{application.Name}': {WhyFailed(application)}"]
        : [];

    private long Look(Revision revision, DeploymentState deployment, bool mayAdmit, long now)
    {
        DeploymentPlan plan = Planner.Plan(deployment.Target(mayAdmit), deployment.Observe(), now);
        WarnOfReplacing(deployment);
        foreach (ReplicaAction action in plan.Actions)
        {
            Act(revision, deployment, action, now);
        }

        if ((deployment.HasFailed || deployment.IsLeftOut) && !deployment.IsServing)
        {
            deployment.Served.BecomesUnavailable(deployment.HasFailed ? "its replicas cannot start, or do not stay up" : "the box has no place for a replica of it");
        }

        long nextCheck = deployment.Replicas.Where(r => r.CheckAt != 0).Select(r => r.CheckAt).DefaultIfEmpty(long.MaxValue).Min();
        return Math.Min(Math.Min(plan.StartAt, nextCheck), WarnOfSlowStarts(deployment, now));
    }

    private void Act(Revision revision, DeploymentState deployment, ReplicaAction action, long now)
    {
        switch (action)
        {
            case ReplicaAction.Start:
                Start(revision, deployment, now);
                break;
            case ReplicaAction.Admit admit:
                Admit(deployment, deployment.Find(admit.Id), now);
                break;
            case ReplicaAction.Stop stop:
                ReplicaEntry stopped = deployment.Find(stop.Id);
                stopped.ScalesDown = stop.ScalesDown;
                Stop(deployment, stopped);
                break;
            case ReplicaAction.Resize resize:
                Replica resized = deployment.Find(resize.Id).Replica;
                resized.Process?.LimitIs(deployment.Goal.MaxOngoingRequests);
                deployment.Served.Gate.Resize(resized, deployment.Goal.MaxOngoingRequests);
                break;
            case ReplicaAction.Reconfigure reconfigure:
                ReplicaEntry changed = deployment.Find(reconfigure.Id);
                changed.HandedUserConfig = deployment.Goal.UserConfig!;
                changed.Replica.MoveTo(ReplicaState.Updating);
                acts.Reconfigure(deployment, changed.Replica, changed.HandedUserConfig, deployment.Goal.HealthCheckTimeout);
                break;
            case ReplicaAction.CheckHealth check:
                ReplicaEntry asked = deployment.Find(check.Id);
                asked.CheckAt = 0;
                asked.CheckedAt = now;
                acts.CheckHealth(deployment, asked.Replica, deployment.Goal.HealthCheckTimeout);
                break;
        }
    }

    private void Start(Revision revision, DeploymentState deployment, long now)
    {
        // Ids are short, since people read them.
        string id = $"{environment.Random.Next(1 << 16):x4}{environment.Random.Next(1 << 16):x4}";
        Replica replica = new(id, deployment.Definition, environment.Time) { Rank = deployment.LowestFreeRank() };
        deployment.Add(new(replica, deployment.Code, now) { WarnAt = now + Timestamps(SlowStart) });
        acts.Start(deployment, replica, new(deployment.Goal.UserConfig, deployment.Code.Application.Args, deployment.Goal.HealthCheckTimeout, deployment.Goal.MaxOngoingRequests), revision.ByName());
    }

    private void Admit(DeploymentState deployment, ReplicaEntry entry, long now)
    {
        entry.IsReady = false;
        entry.Replica.MoveTo(ReplicaState.Running);
        deployment.Served.BecomesAvailable();
        deployment.Served.Gate.AddReplica(entry.Replica, deployment.Goal.MaxOngoingRequests);
        entry.CheckAt = entry.Replica.HasHealthCheck ? NextCheck(deployment, now) : 0;
        Log.ReplicaStarted(logger, entry.Replica.Id, deployment.Name, deployment.Served.Application);
    }

    private void Stop(DeploymentState deployment, ReplicaEntry entry)
    {
        if (entry.IsReady)
        {
            // It never served: there is nothing to drain.
            entry.IsReady = false;
            entry.Replica.MoveTo(ReplicaState.Stopped);
            acts.Stop(deployment, entry.Replica, entry.Replica.Process is null ? TimeSpan.Zero : deployment.Goal.GracefulShutdownTimeout);
            return;
        }

        entry.CheckAt = 0;
        entry.Replica.MoveTo(ReplicaState.Draining);
        deployment.Served.Gate.RemoveReplica(entry.Replica);
        entry.Replica.Withdraw();
        acts.Stop(deployment, entry.Replica, deployment.Goal.GracefulShutdownTimeout);
    }

    private void Started(ControllerMessage.Started started)
    {
        if (started.Deployment.Find(started.Replica) is { } entry)
        {
            entry.IsUp(environment.Time.GetTimestamp());
            entry.UserConfig = started.UserConfig;
        }
    }

    private void StartFailed(ControllerMessage.StartFailed failed)
    {
        (DeploymentState deployment, Replica replica, Exception error) = failed;
        ReplicaEntry? entry = deployment.Find(replica);
        replica.MoveTo(ReplicaState.Failed);
        deployment.Remove(replica);
        if (entry?.Code == deployment.Code)
        {
            deployment.StartFailed(error, replica.LastLines, environment.Time, environment.Random);
        }

        if (error is BuildFailedException or WorkerStartException)
        {
            // All of it is in the message: where in the server it was noticed helps nobody.
            Log.WorkerStartFailed(logger, replica.Id, deployment.Name, deployment.Served.Application, error.Message);
        }
        else
        {
            Log.ReplicaStartFailed(logger, replica.Id, deployment.Name, deployment.Served.Application, error);
        }
    }

    /// <summary>A reconfigure has ended, well or not. The replica may have been told to stop meanwhile.</summary>
    private static void Updated(DeploymentState deployment, Replica replica, string? took)
    {
        if (replica.State == ReplicaState.Updating)
        {
            replica.MoveTo(ReplicaState.Running);
        }

        if (took is not null && deployment.Find(replica) is { } entry)
        {
            entry.UserConfig = took;
        }
    }

    /// <summary>It is asked at once how it is: requests wait for it to be there again, or for another.</summary>
    private void Doubted(ControllerMessage.Doubted doubted)
    {
        if (doubted.Deployment.Find(doubted.Replica) is { } entry && doubted.Replica.State.TakesRequests())
        {
            long now = environment.Time.GetTimestamp();
            entry.DoubtedAt = now;

            // Never more often than that: one that is found well and refuses again would be asked without a pause.
            entry.CheckAt = Math.Min(entry.CheckAt, Math.Max(now, entry.CheckedAt + Timestamps(DoubtPeriod)));
        }
    }

    private void Checked(ControllerMessage.Checked check)
    {
        (DeploymentState deployment, Replica replica, string? error) = check;
        if (deployment.Find(replica) is not { } entry || !replica.State.TakesRequests())
        {
            return;
        }

        if (error is null && entry.DoubtedAt <= entry.CheckedAt)
        {
            // What was refused while the check ran may have come after what the check saw, and is not told twice.
            entry.DoubtedAt = 0;
        }

        long next = NextCheck(deployment, entry.CheckedAt);
        entry.CheckAt = entry.DoubtedAt != 0 ? Math.Min(next, entry.CheckedAt + Timestamps(DoubtPeriod)) : next;
        entry.Strikes = error is null ? 0 : entry.Strikes + 1;
        if (error is null)
        {
            entry.WasWell(entry.CheckedAt);
            if (entry.Code == deployment.Code && entry.IsProven(environment.Time))
            {
                deployment.HasProven(entry);
            }

            return;
        }

        deployment.Served.Measures.HealthCheckFailed();
        Log.HealthCheckFailed(logger, replica.Id, deployment.Name, deployment.Served.Application, entry.Strikes, ReplicaEntry.MostStrikes, error);
        if (entry.Strikes < ReplicaEntry.MostStrikes)
        {
            return;
        }

        CountRestart(deployment, "unhealthy");
        Log.ReplicaUnhealthy(logger, replica.Id, deployment.Name, deployment.Served.Application);
        if (entry.Code == deployment.Code)
        {
            deployment.HealthFailed(entry, error, environment.Time, environment.Random);
        }

        if (replica.State == ReplicaState.Updating)
        {
            // Its reconfigure is left to itself.
            replica.MoveTo(ReplicaState.Running);
        }

        Stop(deployment, entry);
    }

    /// <summary>It is taken out at once; another starts at once too, unless it is one of several in a row that could not work.</summary>
    private void Died(ControllerMessage.Died died)
    {
        (DeploymentState deployment, Replica replica, string reason) = died;
        if (deployment.Find(replica) is not { } entry || !(entry.IsReady || replica.State.TakesRequests()))
        {
            return;
        }

        entry.HasDied = true;
        CountRestart(deployment, "died");
        Log.ReplicaDied(logger, replica.Id, deployment.Name, deployment.Served.Application, reason);
        if (entry.Code == deployment.Code)
        {
            if (entry.Strikes == 0)
            {
                // It was there until now.
                entry.WasWell(environment.Time.GetTimestamp());
            }

            if (replica.State == ReplicaState.Updating && deployment.DiedOf(entry, reason))
            {
                Log.UserConfigRefused(logger, replica.Id, deployment.Name, deployment.Served.Application, reason);
            }
            else
            {
                deployment.ReplicaDied(entry, reason, environment.Time, environment.Random);
            }
        }

        Stop(deployment, entry);
    }

    /// <summary>Goes as in a rollout: another is up first.</summary>
    private void WornOut(ControllerMessage.WornOut worn)
    {
        (DeploymentState deployment, Replica replica, string reason) = worn;
        if (deployment.Find(replica) is { MustGo: false } entry && (entry.IsReady || replica.State.TakesRequests()))
        {
            CountRestart(deployment, "worn_out");
            Log.ReplicaWornOut(logger, replica.Id, deployment.Name, deployment.Served.Application, reason);
            deployment.WearsOut(entry);
        }
    }

    private static void CountRestart(DeploymentState deployment, string reason)
    {
        deployment.Restarts++;
        deployment.Served.Measures.ReplicaRestarts(reason);
    }

    private static void Stopped(ControllerMessage.Stopped stopped)
    {
        (DeploymentState deployment, Replica replica) = stopped;
        if (replica.State == ReplicaState.Abandoned)
        {
            deployment.Abandoned--;
        }

        if (replica.State != ReplicaState.Stopped)
        {
            replica.MoveTo(ReplicaState.Stopped);
        }

        deployment.Remove(replica);
    }

    /// <summary>With nothing on its way, ranks are 0 up to the number of replicas less 1; who has one of these keeps it. A process is told its rank once, and keeps it for as long as it lives.</summary>
    private static void CompactRanks(DeploymentState deployment)
    {
        Queue<int> free = new(Enumerable.Range(0, deployment.Replicas.Count).Except(deployment.Replicas.Select(r => r.Replica.Rank)));
        foreach (ReplicaEntry entry in deployment.Replicas.Where(r => r.Replica.Process is null && r.Replica.Rank >= deployment.Replicas.Count))
        {
            entry.Replica.Rank = free.Dequeue();
        }
    }

    /// <summary>Once per rollout that the box has no room for.</summary>
    private void WarnOfReplacing(DeploymentState deployment)
    {
        if (!deployment.HasOldServing || deployment.Goal.Replaces || deployment.Room.Why is not { } why)
        {
            deployment.WasWarnedOfReplacing = false;
        }
        else if (!deployment.WasWarnedOfReplacing)
        {
            deployment.WasWarnedOfReplacing = true;
            Log.RolloutReplaces(logger, deployment.Name, deployment.Served.Application, why);
        }
    }

    private long WarnOfSlowStarts(DeploymentState deployment, long now)
    {
        long next = long.MaxValue;
        foreach (ReplicaEntry entry in deployment.Replicas.Where(r => r.Replica.State == ReplicaState.Starting && !r.IsReady))
        {
            if (entry.WarnAt <= now)
            {
                entry.WarnAt = now + Timestamps(SlowStart);
                Log.ReplicaStartsSlowly(
                    logger, entry.Replica.Id, deployment.Name, deployment.Served.Application, environment.Time.GetElapsedTime(entry.StartedAt, now).TotalSeconds);
            }

            next = Math.Min(next, entry.WarnAt);
        }

        return next;
    }

    /// <summary>A period after the last check began, a tenth more or less, so that replicas are not all asked at once.</summary>
    private long NextCheck(DeploymentState deployment, long from) =>
        from + (long)(Timestamps(deployment.Goal.HealthCheckPeriod) * (0.9 + (0.2 * environment.Random.NextDouble())));

    private long Timestamps(TimeSpan time) => (long)(time.TotalSeconds * environment.Time.TimestampFrequency);
}
