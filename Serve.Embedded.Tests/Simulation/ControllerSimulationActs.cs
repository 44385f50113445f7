using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Controller;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>Acts on replicas that end at random times, well or badly, with the real replicas, handlers and handles behind them.</summary>
internal sealed class ControllerSimulationActs(ControllerSimulationWorld world, Action<ControllerMessage> tell) : IReplicaActs
{
    private static readonly TimeSpan CancelTime = TimeSpan.FromSeconds(1);

    private readonly List<(DeploymentState Deployment, Task Nobody)> _awaited = [];
    private readonly HashSet<(string ImportPath, string Deployment)> _broken = [];
    private SimulatedHandler? _created;

    /// <summary>What was asked for and has not ended, but for health checks.</summary>
    public int Pending { get; private set; }

    /// <summary>Called when a replica of the registry's applications is made.</summary>
    public SimulatedHandler Created(SimulatedHandler handler) => _created = handler;

    /// <summary>From now on, or no longer, this version of a deployment cannot start.</summary>
    public void ToggleBroken(string importPath, string deployment)
    {
        if (!_broken.Remove((importPath, deployment)))
        {
            _broken.Add((importPath, deployment));
        }
    }

    public void Heal()
    {
        _broken.Clear();
        foreach (SimulatedReplica replica in world.Replicas.Values)
        {
            replica.IsIll = false;
        }
    }

    public void Start(DeploymentState deployment, Replica replica, ReplicaStart start, IReadOnlyDictionary<string, ServedDeployment> siblings)
    {
        SimulatedReplica started = new(deployment, replica, siblings);
        world.Replicas.Add(replica, started);
        if (!world.Deployments.TryGetValue(deployment, out List<SimulatedReplica>? all))
        {
            world.Deployments.Add(deployment, all = []);
        }

        all.Add(started);
        string importPath = deployment.Code.Application.ImportPath!;
        world.Trace("start", replica.Id);
        After(world.Chance(40) ? world.Milliseconds(1_000, 40_000) : world.Milliseconds(1, 300), () =>
        {
            ReplicaHandles handles = new(deployment.Served.Application, siblings);
            if (world.Chance(25) || (!world.Heals && _broken.Contains((importPath, deployment.Name))))
            {
                handles.Dispose();
                Forget(started);
                Tell(new ControllerMessage.StartFailed(deployment, replica, new InvalidOperationException("It does not start.")));
                return;
            }

            DeploymentContext context = new(
                deployment.Served.Application, deployment.Name, replica.Id, () => replica.Rank, null, world.Clock, NullLogger.Instance, handles);
            Task making = replica.StartAsync(context, start.UserConfig);
            Assert.True(making.IsCompletedSuccessfully);
            started.Handler = _created!;
            started.Handler.Replica = started;
            replica.OnDisposed(handles);
            Tell(new ControllerMessage.Started(deployment, replica, start.UserConfig));
        });
    }

    public void Reconfigure(DeploymentState deployment, Replica replica, string userConfig, TimeSpan healthCheckTimeout)
    {
        world.Trace("reconfigure", replica.Id);
        After(world.Milliseconds(0, 200), () =>
        {
            if (world.Chance(6))
            {
                Tell(new ControllerMessage.ReconfigureFailed(deployment, replica, userConfig, new ArgumentException("It does not like that.")));
                return;
            }

            Assert.True(replica.ReconfigureAsync(userConfig).IsCompletedSuccessfully);
            Tell(new ControllerMessage.Reconfigured(deployment, replica, userConfig));
        });
    }

    public void CheckHealth(DeploymentState deployment, Replica replica, TimeSpan timeout)
    {
        TimeSpan after = world.Chance(20) ? timeout : TimeSpan.FromTicks(world.Random.NextInt64() % (timeout.Ticks + 1));
        world.Clock.Schedule(after, () =>
        {
            if (!world.Replicas.TryGetValue(replica, out SimulatedReplica? asked))
            {
                // It has ended meanwhile; the real check would be cancelled.
                Tell(new ControllerMessage.Checked(deployment, replica, "It is gone."));
                return;
            }

            bool fails = !world.Heals && (asked.IsIll || world.Chance(50));
            asked.Strikes = fails ? asked.Strikes + 1 : 0;
            Tell(new ControllerMessage.Checked(deployment, replica, fails ? "It is not well." : null));
        });
    }

    public void Stop(DeploymentState deployment, Replica replica, TimeSpan grace)
    {
        SimulatedReplica stopped = world.Replicas[replica];
        world.Trace("stop", replica.Id, stopped.Work.Count);
        CheckFloor(stopped);
        stopped.Idle = replica.Permits.WhenIdle();
        Pending++;
        EndIfIdle(stopped);
        world.Clock.Schedule(grace, () => CancelWork(stopped));
    }

    public void AwaitWaiters(DeploymentState deployment, TimeSpan grace)
    {
        Pending++;
        (DeploymentState, Task) awaited = (deployment, deployment.Served.Gate.WhenNobodyWaits());
        _awaited.Add(awaited);
        world.Clock.Schedule(grace, () => EndAwait(awaited));
        LookAtWaiters();
    }

    /// <summary>After each event: deployments for which nobody waits any more.</summary>
    public void LookAtWaiters()
    {
        foreach ((DeploymentState Deployment, Task Nobody) awaited in _awaited.Where(a => a.Nobody.IsCompleted).ToList())
        {
            EndAwait(awaited);
        }
    }

    /// <summary>A replica has one request fewer.</summary>
    public void EndIfIdle(SimulatedReplica replica)
    {
        if (replica.Idle is null || replica.Ends || !world.Sabotage.IsIdle(replica.Replica))
        {
            return;
        }

        replica.Ends = true;
        world.Check(replica.Idle.IsCompleted, Invariant.NoneLostOrRepeated, () => $"Replica {replica.Replica.Id} ends and was never told to be idle.");
        Pending--;
        After(world.Milliseconds(0, 20), () =>
        {
            _ = replica.Replica.DisposeHandlerAsync(TimeSpan.Zero);
            world.Check(
                world.Sabotage.IsIdle(replica.Replica) && replica.Work.Count == 0 && replica.Granted == 0, Invariant.NoneLostOrRepeated,
                () => $"Replica {replica.Replica.Id} ended while it had {replica.Replica.Permits.Ongoing} request(s).");
            Forget(replica);
            Tell(new ControllerMessage.Stopped(replica.Deployment, replica.Replica));
        });
    }

    private void CancelWork(SimulatedReplica stopped)
    {
        if (stopped.Ends)
        {
            return;
        }

        stopped.IsCancelled = true;
        world.Trace("cancel", stopped.Replica.Id, stopped.Work.Count);
        foreach (ISimulatedWork work in stopped.Work.ToList())
        {
            work.Cancel(mustListen: false);
        }

        world.Clock.Schedule(CancelTime, () =>
        {
            if (!stopped.Ends)
            {
                world.Trace("abandon", stopped.Replica.Id);
                Tell(new ControllerMessage.Abandoned(stopped.Deployment, stopped.Replica));
            }
        });
    }

    /// <summary>Unless it is ill or the whole deployment goes, a replica that serves is stopped only when enough others do.</summary>
    private void CheckFloor(SimulatedReplica stopped)
    {
        DeploymentState deployment = stopped.Deployment;
        if (deployment.Retirement != Retirement.None || deployment.Goal.Replaces || deployment.Room.MostSurge == 0 || stopped.Strikes >= ReplicaEntry.MostStrikes || stopped.Replica.State != ReplicaState.Draining)
        {
            return;
        }

        int serving = deployment.Replicas.Count(r => r.Replica.State.TakesRequests());
        world.Check(
            serving >= deployment.NumReplicas, Invariant.FloorServes,
            () => $"Replica {stopped.Replica.Id} was stopped by choice: {serving} of {deployment.NumReplicas} replicas of '{deployment.Name}' are left.");
    }

    private void EndAwait((DeploymentState Deployment, Task Nobody) awaited)
    {
        if (_awaited.Remove(awaited))
        {
            Pending--;
            After(TimeSpan.Zero, () => Tell(new ControllerMessage.WaitersGone(awaited.Deployment)));
        }
    }

    private void Forget(SimulatedReplica replica)
    {
        world.Replicas.Remove(replica.Replica);
        world.Deployments[replica.Deployment].Remove(replica);
    }

    private void After(TimeSpan after, Action ends)
    {
        Pending++;
        world.Clock.Schedule(after, () =>
        {
            Pending--;
            ends();
        });
    }

    private void Tell(ControllerMessage message)
    {
        foreach (ControllerMessage told in world.Sabotage.Tell(message))
        {
            tell(told);
        }
    }
}
