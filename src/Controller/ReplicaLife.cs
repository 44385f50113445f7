using Microsoft.Extensions.Logging;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Controller;

/// <summary>The acts that take time: start, reconfigure, stop. Each runs beside the loop and tells it how it ended.</summary>
internal sealed class ReplicaLife(ServeEnvironment environment, ILogger logger, Action<ControllerMessage> tell)
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(10);

    /// <summary>What a handler has, after it was cancelled, before it is left to itself.</summary>
    private static readonly TimeSpan CancelTime = TimeSpan.FromSeconds(1);

    private readonly ILogger _replicaLog = environment.Loggers.CreateLogger(LogCategories.Replica);

    /// <summary>Ids are short, since people read them.</summary>
    public string NewId() => $"{environment.Random.Next(1 << 16):x4}{environment.Random.Next(1 << 16):x4}";

    public async Task StartAsync(DeploymentState deployment, Replica replica, string? userConfig, IReadOnlyDictionary<string, ServedDeployment> siblings)
    {
        string application = deployment.Served.Application;
        ReplicaHandles handles = new(application, siblings);
        try
        {
            // Constructors may be slow: never on the loop.
            await Task.Run(() =>
            {
                ScopeOf(deployment, replica).Enter();
                return replica.StartAsync(new(application, deployment.Name, replica.Id, environment.Time, _replicaLog, handles), userConfig);
            });
            replica.OnDisposed(handles);
            tell(new ControllerMessage.Started(deployment, replica, userConfig));
        }
#pragma warning disable CA1031 // Whatever a constructor throws is a failed start.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            handles.Dispose();
            tell(new ControllerMessage.StartFailed(deployment, replica, exception));
        }
    }

    public async Task ReconfigureAsync(DeploymentState deployment, Replica replica, string userConfig)
    {
        try
        {
            await Task.Run(() =>
            {
                ScopeOf(deployment, replica).Enter();
                return replica.ReconfigureAsync(userConfig);
            });
            tell(new ControllerMessage.Reconfigured(deployment, replica, userConfig));
        }
#pragma warning disable CA1031 // Whatever reconfigure throws refuses the value.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            tell(new ControllerMessage.ReconfigureFailed(deployment, replica, userConfig, exception));
        }
    }

    /// <summary>Ends a replica that is given no more requests: when it is idle, or when its time is over.</summary>
    public async Task StopAsync(DeploymentState deployment, Replica replica, TimeSpan grace)
    {
        if (!await IsIdleAsync(replica, grace))
        {
            Log.ReplicaCancels(logger, replica.Id, deployment.Name, deployment.Served.Application, replica.Permits.Ongoing, grace.TotalSeconds);
            await replica.CancelOngoingAsync();
            if (!await IsIdleAsync(replica, CancelTime))
            {
                Log.ReplicaAbandoned(logger, replica.Id, deployment.Name, deployment.Served.Application, replica.Permits.Ongoing);
                replica.MoveTo(ReplicaState.Abandoned);
                tell(new ControllerMessage.Stopped(deployment, replica));
                await IsIdleAsync(replica, Timeout.InfiniteTimeSpan);
            }
        }

        try
        {
            await replica.DisposeHandlerAsync();
        }
#pragma warning disable CA1031 // A destructor that throws changes nothing: the replica is gone.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Log.ReplicaDisposeFailed(logger, replica.Id, deployment.Name, deployment.Served.Application, exception);
        }

        bool wasAbandoned = replica.State == ReplicaState.Abandoned;
        replica.MoveTo(ReplicaState.Stopped);
        if (!wasAbandoned)
        {
            tell(new ControllerMessage.Stopped(deployment, replica));
        }
    }

    /// <summary>Waits until nobody waits for the deployment any more, so that who was admitted is served.</summary>
    public async Task WaitersAsync(DeploymentState deployment, TimeSpan grace)
    {
        long since = environment.Time.GetTimestamp();
        while (deployment.Served.Gate.Waiting > 0 && environment.Time.GetElapsedTime(since) < grace)
        {
            await Task.Delay(LookAgain, environment.Time);
        }
    }

    /// <summary>What a handler logs outside requests is its replica's too.</summary>
    private static RequestScope ScopeOf(DeploymentState deployment, Replica replica) =>
        new() { Application = deployment.Served.Application, Deployment = deployment.Name, Replica = replica.Id };

    private async Task<bool> IsIdleAsync(Replica replica, TimeSpan within)
    {
        long since = environment.Time.GetTimestamp();
        while (replica.Permits.Ongoing > 0)
        {
            if (within != Timeout.InfiniteTimeSpan && environment.Time.GetElapsedTime(since) >= within)
            {
                return false;
            }

            await Task.Delay(LookAgain, environment.Time);
        }

        return true;
    }
}
