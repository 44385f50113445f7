using Microsoft.Extensions.Logging;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>The acts on replicas whose handlers are compiled in. Handlers' code runs on the thread pool, never on the controller's loop.</summary>
internal sealed class ReplicaActs(ServeEnvironment environment, ILogger logger, Action<ControllerMessage> tell) : IReplicaActs
{
    /// <summary>What a handler has, after it was cancelled, before it is left to itself.</summary>
    private static readonly TimeSpan CancelTime = TimeSpan.FromSeconds(1);

    /// <summary>What lies between the end of a process's connections and the word of its own end: its last lines are read, and what it has left is ended.</summary>
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(2);

    /// <summary>What a process has that did not come up, before it is killed.</summary>
    private static readonly TimeSpan FailedStartGrace = TimeSpan.FromSeconds(1);

    private readonly ILogger _replicaLog = environment.Loggers.CreateLogger(LogCategories.Replica);

    public void Start(DeploymentState deployment, Replica replica, ReplicaStart start, IReadOnlyDictionary<string, ServedDeployment> siblings) =>
        Run(deployment, replica, async () =>
        {
            string application = deployment.Served.Application;
            long began = environment.Time.GetTimestamp();
            ReplicaHandles handles = new(application, siblings, deployment.Served);
            try
            {
                DeploymentContext context = new(application, deployment.Name, replica.Id, () => replica.Rank, start.Args, environment.Time, replica.Log.Around(_replicaLog), handles)
                {
                    MaxOngoingRequests = start.MaxOngoingRequests,
                    Container = environment.Services,
                    Dispatch = environment.Resume,
                    Telemetry = environment.Telemetry,
                    Measures = deployment.Served.Measures,
                };
                await replica.StartAsync(context, start.UserConfig);
                await CheckAsync(replica, start.HealthCheckTimeout);
                replica.OnDisposed(handles);
                environment.Telemetry.ReplicaStarted(deployment.Served.Measures, environment.Time.GetElapsedTime(began));

                // Before requests can come: one that is refused is told once.
                replica.Process?.OnDoubt = () => tell(new ControllerMessage.Doubted(deployment, replica));
                tell(new ControllerMessage.Started(deployment, replica, start.UserConfig));
                Watch(deployment, replica);
            }
#pragma warning disable CA1031 // Whatever a constructor throws is a failed start.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                await DisposeAsync(deployment, replica, FailedStartGrace);
                handles.Dispose();
                tell(new ControllerMessage.StartFailed(deployment, replica, exception));
            }
        });

    public void Reconfigure(DeploymentState deployment, Replica replica, string userConfig, TimeSpan healthCheckTimeout) =>
        Run(deployment, replica, async () =>
        {
            bool wasTaken = false;
            try
            {
                await replica.ReconfigureAsync(userConfig);
                wasTaken = true;

                // A check that began before says nothing of the new value.
                await EndsAsync(replica.LastHealthCheck, healthCheckTimeout);
                await CheckAsync(replica, healthCheckTimeout);
                if (replica.Process is { HasEnded: true })
                {
                    // Its check is not held against it: that is told as its end, and until then it has not taken the value.
                    return;
                }

                tell(new ControllerMessage.Reconfigured(deployment, replica, userConfig));
            }
#pragma warning disable CA1031 // Whatever reconfigure throws refuses the value.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                if (exception is WorkerFailedException && replica.Process is { } process && await IsDoneAsync(process.Ended, LongestEnd))
                {
                    // It has ended of it: that is told with how.
                    return;
                }

                tell(new ControllerMessage.ReconfigureFailed(deployment, replica, userConfig, exception) { WasTaken = wasTaken });
            }
        });

    public void CheckHealth(DeploymentState deployment, Replica replica, TimeSpan timeout) =>
        Run(deployment, replica, async () =>
        {
            string? error = null;
            try
            {
                await CheckAsync(replica, timeout);
            }
#pragma warning disable CA1031 // Whatever a check throws is a failed check.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                error = exception.Message;
            }

            tell(new ControllerMessage.Checked(deployment, replica, error));
        });

    public void Stop(DeploymentState deployment, Replica replica, TimeSpan grace) =>
        Run(deployment, replica, async () =>
        {
            long began = environment.Time.GetTimestamp();
            if (!await IsIdleAsync(replica, grace))
            {
                Log.ReplicaCancels(logger, replica.Id, deployment.Name, deployment.Served.Application, replica.Ongoing, grace.TotalSeconds);
                if (!await EndOngoingAsync(replica))
                {
                    Log.ReplicaAbandoned(logger, replica.Id, deployment.Name, deployment.Served.Application, replica.Ongoing);
                    tell(new ControllerMessage.Abandoned(deployment, replica));
                    await replica.WhenIdle();
                }
            }

            TimeSpan left = grace - environment.Time.GetElapsedTime(began);
            await DisposeAsync(deployment, replica, left > TimeSpan.Zero ? left : TimeSpan.Zero);
            tell(new ControllerMessage.Stopped(deployment, replica));
        });

    public void AwaitWaiters(DeploymentState deployment, TimeSpan grace) => _ = AwaitWaitersAsync(deployment, grace);

    private async Task AwaitWaitersAsync(DeploymentState deployment, TimeSpan grace)
    {
        await IsDoneAsync(deployment.Served.Gate.WhenNobodyWaits(), grace);
        tell(new ControllerMessage.WaitersGone(deployment));
    }

    /// <summary>Requests of a process end with it, and go to another replica where that does no harm; all others are cancelled. <see langword="false"/> = some ignore it.</summary>
    private async Task<bool> EndOngoingAsync(Replica replica)
    {
        if (replica.Process is { } process)
        {
            await process.StopAsync(TimeSpan.Zero);
            if (await IsIdleAsync(replica, CancelTime))
            {
                return true;
            }
        }

        await replica.CancelOngoingAsync();
        return await IsIdleAsync(replica, CancelTime);
    }

    private async Task CheckAsync(Replica replica, TimeSpan timeout)
    {
        Task check = replica.CheckHealthAsync(timeout);
        await EndsAsync(check, timeout);
        await check;
    }

    /// <summary>Waits for the end of a health check, whatever it says.</summary>
    private async Task EndsAsync(Task check, TimeSpan timeout)
    {
        if (!await IsDoneAsync(check, timeout))
        {
            throw new TimeoutException($"The health check did not end within health_check_timeout_s = {timeout.TotalSeconds}.");
        }
    }

    /// <summary>What a handler logs outside requests is its replica's too.</summary>
    private static void Run(DeploymentState deployment, Replica replica, Func<Task> act) => _ = Task.Run(() =>
    {
        new RequestScope { Application = deployment.Served.Application, Deployment = deployment.Name, Replica = replica.Id }.Enter();
        return act();
    });

    /// <summary>Tells what becomes of a replica that is a process.</summary>
    private void Watch(DeploymentState deployment, Replica replica)
    {
        if (replica.Process is { } process)
        {
            _ = WhenAsync(process.Ended, reason => new ControllerMessage.Died(deployment, replica, reason));
            _ = WhenAsync(process.WornOut, reason => new ControllerMessage.WornOut(deployment, replica, reason));
        }
    }

    private async Task WhenAsync<T>(Task<T> happens, Func<T, ControllerMessage> message) => tell(message(await happens));

    private async Task DisposeAsync(DeploymentState deployment, Replica replica, TimeSpan grace)
    {
        try
        {
            await replica.DisposeHandlerAsync(grace);
        }
#pragma warning disable CA1031 // A destructor that throws changes nothing: the replica is gone.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Log.ReplicaDisposeFailed(logger, replica.Id, deployment.Name, deployment.Served.Application, exception);
        }
    }

    private Task<bool> IsIdleAsync(Replica replica, TimeSpan within) => IsDoneAsync(replica.WhenIdle(), within);

    private async Task<bool> IsDoneAsync(Task task, TimeSpan within)
    {
        if (task.IsCompleted)
        {
            return true;
        }

        using CancellationTokenSource enough = new();
        Task first = await Task.WhenAny(task, Task.Delay(within, environment.Time, enough.Token));
        await enough.CancelAsync();
        return first == task;
    }
}
