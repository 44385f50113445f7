using Serve.Embedded.Controller;
using Serve.Embedded.Controller.Scaling;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>Looks, after each step of the controller, at how many replicas the deployments shall have.</summary>
internal sealed class ControllerSimulationScaling(ControllerSimulationWorld world)
{
    private readonly Dictionary<DeploymentState, int> _wants = [];

    /// <summary>Since when somebody waits for a deployment that wants no replica.</summary>
    private readonly Dictionary<DeploymentState, long> _starved = [];

    /// <summary>How often a request has woken a deployment that had none.</summary>
    public long Woken { get; private set; }

    /// <summary>How often a deployment wanted another number than before.</summary>
    public long Scaled { get; private set; }

    /// <summary>How often the box held somebody back.</summary>
    public long HeldBack { get; private set; }

    private BoxBudget Budget => BoxBudget.Of(world.Box, new(Cpus: 1, MemoryMb: null));

    public void AfterStep(IReadOnlyCollection<DeploymentState> deployments)
    {
        CheckBox(deployments);
        foreach (DeploymentState deployment in deployments)
        {
            CheckBounds(deployment);
            CheckWakes(deployment);
        }

        world.Asked.Clear();
        foreach (DeploymentState gone in _wants.Keys.Except(deployments).ToList())
        {
            _wants.Remove(gone);
            _starved.Remove(gone);
        }
    }

    /// <summary>Where load decides, and nobody asks: the number that its policy wishes for then, unless the box is too small. <see langword="null"/> = so it is.</summary>
    public string? WhyNotAtRest(string name, DeploymentReport deployment) =>
        deployment.HeldBack is null && deployment.Goal.Autoscaling is { } autoscaling && ControllerSimulationPolicy.AtRest(autoscaling.CutTo(Budget.Holds(Use(deployment.Goal)))) is int rest && deployment.NumReplicas != rest
            ? $"{name} shall have {deployment.NumReplicas} replicas and not {rest}, as is right when nobody asks"
            : null;

    private static BoxUse Use(DeploymentGoal goal) => BoxUse.OfReplica(goal.NumCpus, goal.MemoryMb);

    private static int Want(DeploymentState deployment) => deployment.Scaler?.Target ?? deployment.Goal.NumReplicas;

    private void CheckBox(IReadOnlyCollection<DeploymentState> deployments)
    {
        BoxBudget budget = Budget;
        BoxUse shared = deployments.Aggregate(default(BoxUse), (sum, d) => sum + (Use(d.Goal) * d.NumReplicas));
        world.Check(budget.Lacks(shared) is null, Invariant.BoxHolds, () => $"The box has {budget.Limit} and the deployments shall have {shared}.");
        foreach (DeploymentState deployment in deployments)
        {
            int want = Want(deployment);
            world.Check(
                deployment.NumReplicas == want || (deployment.NumReplicas < want && deployment.HeldBack is not null), Invariant.BoxHolds,
                () => $"'{deployment.Name}' wants {want} replicas, shall have {deployment.NumReplicas}, and is told: {deployment.HeldBack ?? "nothing"}.");
            world.Check(
                deployment.HeldBack is null || budget.Lacks(shared + Use(deployment.Goal)) is not null, Invariant.BoxHolds,
                () => $"'{deployment.Name}' is held back at {deployment.NumReplicas} of {want} replicas, and one more would fit beside {shared}.");
            int before = _wants.GetValueOrDefault(deployment, want);
            Scaled += before != want ? 1 : 0;
            Woken += before == 0 && want > 0 && world.Asked.Contains(deployment.Served.Gate) ? 1 : 0;

            _wants[deployment] = want;
            HeldBack += deployment.HeldBack is null ? 0 : 1;
        }
    }

    private void CheckBounds(DeploymentState deployment)
    {
        if (deployment.Goal.Autoscaling is { } autoscaling)
        {
            int want = Want(deployment);
            world.Check(
                want >= autoscaling.MinReplicas && want <= autoscaling.MaxReplicas, Invariant.BoundsHold,
                () => $"'{deployment.Name}' wants {want} replicas, and may have {autoscaling.MinReplicas} to {autoscaling.MaxReplicas}.");
        }

        int serving = deployment.Replicas.Count(r => r is { MustGo: false } && r.Code == deployment.Code && r.Replica.State == ReplicaState.Running);
        world.Check(
            serving <= deployment.NumReplicas, Invariant.BoundsHold, () => $"{serving} replicas of '{deployment.Name}' serve, and {deployment.NumReplicas} shall.");
    }

    private void CheckWakes(DeploymentState deployment)
    {
        AdmissionGate gate = deployment.Served.Gate;
        bool isStarved = deployment.Scaler is not null && deployment.HeldBack is null && gate.Waiting > 0 && deployment.NumReplicas == 0;
        bool wasAsked = world.Asked.Contains(gate);
        world.Check(!isStarved || !wasAsked, Invariant.Wakes, () => $"A request waits for '{deployment.Name}', which has no replica, and the controller has not woken one.");
        if (!isStarved)
        {
            _starved.Remove(deployment);
        }
        else if (!_starved.TryAdd(deployment, world.Clock.Now))
        {
            // Its policy may have taken the last one away under somebody who waits.
            TimeSpan since = TimeSpan.FromTicks(world.Clock.Now - _starved[deployment]);
            world.Check(since <= ScalingRound.Period * 2, Invariant.Wakes, () => $"Somebody waits for '{deployment.Name}', which wants no replica, for {since.TotalSeconds} s.");
        }
    }
}
