using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Controller;

/// <summary>What the controller has asked for.</summary>
internal enum ActKind
{
    Start,
    Reconfigure,
    CheckHealth,
    Stop,
    AwaitWaiters,
}

/// <summary>One thing that the controller has asked for and the test has not yet ended.</summary>
internal sealed record Act(ActKind Kind, DeploymentState Deployment, Replica? Replica, string? UserConfig = null, string? ImportPath = null);

/// <summary>Acts that end when, and how, the test says.</summary>
internal sealed class FakeActs(Action<ControllerMessage> tell) : IReplicaActs
{
    /// <summary>How a reconfigure fails that has taken the value.</summary>
    public const string Unwell = "It is not well with it.";

    private readonly Dictionary<Replica, string> _importPaths = [];

    public List<Act> Pending { get; } = [];

    /// <summary>Everything that was ever asked for.</summary>
    public List<Act> All { get; } = [];

    public void Start(DeploymentState deployment, Replica replica, ReplicaStart start, IReadOnlyDictionary<string, ServedDeployment> siblings)
    {
        _importPaths[replica] = deployment.Code.Application.ImportPath!;
        Ask(new(ActKind.Start, deployment, replica, start.UserConfig, deployment.Code.Application.ImportPath!));
    }

    public void Reconfigure(DeploymentState deployment, Replica replica, string userConfig, TimeSpan healthCheckTimeout) => Ask(new(ActKind.Reconfigure, deployment, replica, userConfig, _importPaths[replica]));

    public void CheckHealth(DeploymentState deployment, Replica replica, TimeSpan timeout) => Ask(new(ActKind.CheckHealth, deployment, replica, null, _importPaths[replica]));

    public void Stop(DeploymentState deployment, Replica replica, TimeSpan grace) => Ask(new(ActKind.Stop, deployment, replica, null, _importPaths[replica]));

    public void AwaitWaiters(DeploymentState deployment, TimeSpan grace) => Ask(new(ActKind.AwaitWaiters, deployment, null));

    public string ImportPathOf(Replica replica) => _importPaths[replica];

    /// <summary>Ends one act; <paramref name="error"/> = it failed.</summary>
    public void End(Act act, string? error = null)
    {
        Assert.True(Pending.Remove(act));
        switch (act.Kind)
        {
            case ActKind.Start when error is null:
                // The handler is really made, so that the replica knows what it can do.
                DeploymentContext context = new(
                    act.Deployment.Served.Application, act.Deployment.Name, act.Replica!.Id, () => act.Replica.Rank, null, TimeProvider.System,
                    Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance, new ReplicaHandles(act.Deployment.Served.Application, new Dictionary<string, ServedDeployment>()));
                Assert.True(act.Replica.StartAsync(context, act.UserConfig).IsCompletedSuccessfully);
                tell(new ControllerMessage.Started(act.Deployment, act.Replica, act.UserConfig));
                break;
            case ActKind.Start:
                act.Replica!.Log.Add("the last line before it failed");
                tell(new ControllerMessage.StartFailed(act.Deployment, act.Replica, new InvalidOperationException(error)));
                break;
            case ActKind.Reconfigure:
                tell(error is null
                    ? new ControllerMessage.Reconfigured(act.Deployment, act.Replica!, act.UserConfig!)
                    : new ControllerMessage.ReconfigureFailed(act.Deployment, act.Replica!, act.UserConfig!, new ArgumentException(error)) { WasTaken = error == Unwell });
                break;
            case ActKind.CheckHealth:
                tell(new ControllerMessage.Checked(act.Deployment, act.Replica!, error));
                break;
            case ActKind.Stop:
                tell(new ControllerMessage.Stopped(act.Deployment, act.Replica!));
                break;
            case ActKind.AwaitWaiters:
                tell(new ControllerMessage.WaitersGone(act.Deployment));
                break;
        }
    }

    /// <summary>A replica that is a process ends by itself.</summary>
    public void Die(DeploymentState deployment, Replica replica) => tell(new ControllerMessage.Died(deployment, replica, "exit code 3"));

    /// <summary>A replica that is a process takes no connection.</summary>
    public void Doubt(DeploymentState deployment, Replica replica) => tell(new ControllerMessage.Doubted(deployment, replica));

    public void WearOut(DeploymentState deployment, Replica replica) => tell(new ControllerMessage.WornOut(deployment, replica, "it is 1 h old"));

    /// <summary>The handler will not end.</summary>
    public void Abandon(Act stop) => tell(new ControllerMessage.Abandoned(stop.Deployment, stop.Replica!));

    private void Ask(Act act)
    {
        Pending.Add(act);
        All.Add(act);
    }
}
