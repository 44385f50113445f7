using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;

namespace Serve.Embedded.Controller;

/// <summary>
/// The deployments of an application that can call each other, and the proxy's handle to the first of them. Another code rolls out inside it, replica by replica, as long as
/// its deployments take and answer the same types; else callers of the one would meet replicas of the other, and a new revision comes up beside it and takes over as a whole.
/// </summary>
internal sealed class Revision
{
    private readonly ServeEnvironment _environment;
    private readonly List<DeploymentState> _deployments;

    public Revision(ApplicationGoal goal, ApplicationDefinition definition, ServeEnvironment environment)
    {
        _environment = environment;
        _deployments = [.. goal.Deployments.Select(d => Create(goal, d, definition))];
        Handle = Ingress.Served.OpenHandle();
    }

    /// <summary>In the goal's order.</summary>
    public IReadOnlyList<DeploymentState> Deployments => _deployments;

    public DeploymentState Ingress => _deployments[0];

    /// <summary>The proxy's own handle to the ingress deployment.</summary>
    public Handle Handle { get; }

    public bool IsAtGoal => _deployments.All(d => d.IsAtGoal);

    public bool HasFailed => _deployments.Any(d => d.HasFailed);

    /// <summary>Replicas of another code are on their way out, or those of the wanted one not yet in.</summary>
    public bool Restarts => _deployments.Any(d => d.HasOldServing && !d.HasEnough);

    public bool FirstWavesAreUp => _deployments.All(d => d.FirstWaveIsUp);

    public IReadOnlyDictionary<string, ServedDeployment> ByName() => _deployments.ToDictionary(d => d.Name, d => d.Served, StringComparer.Ordinal);

    /// <summary>Whether replicas of this code can stand beside those that run.</summary>
    public bool CanBecome(ApplicationDefinition definition) =>
        definition.Ingress.Name == Ingress.Name &&
        _deployments.All(d => !definition.TryFind(d.Name, out DeploymentDefinition? next) || AreAlike(d.Definition, next));

    /// <summary>Takes a new goal.</summary>
    /// <param name="goal">The goal.</param>
    /// <param name="definition">Its code.</param>
    /// <param name="rollsBack">It was good before.</param>
    /// <param name="leaving">
    /// Deployments that are no longer wanted: they go when the others are at their goal. One that is wanted again before it has gone comes back, since there are replicas that call it.
    /// </param>
    public void Take(ApplicationGoal goal, ApplicationDefinition definition, bool rollsBack, List<DeploymentState> leaving)
    {
        List<DeploymentState> back = [.. leaving.Where(d => definition.TryFind(d.Name, out DeploymentDefinition? next) && AreAlike(d.Definition, next))];
        leaving.RemoveAll(back.Contains);
        _deployments.AddRange(back);
        List<DeploymentState> gone = [.. _deployments.Where(d => goal.Deployments.All(g => g.Name != d.Name))];
        _deployments.RemoveAll(gone.Contains);
        leaving.AddRange(gone);
        foreach (DeploymentGoal wanted in goal.Deployments)
        {
            DeploymentState? deployment = _deployments.FirstOrDefault(d => d.Name == wanted.Name);
            if (deployment is null)
            {
                _deployments.Add(Create(goal, wanted, definition));
            }
            else if (rollsBack)
            {
                deployment.RollBack(wanted, CodeOf(goal, wanted), Definition(definition, wanted));
            }
            else
            {
                deployment.Take(wanted, CodeOf(goal, wanted), Definition(definition, wanted));
                deployment.NoteBuild(_environment);
            }
        }

        _deployments.Sort((a, b) => IndexOf(goal, a).CompareTo(IndexOf(goal, b)));
    }

    /// <summary>Brings limits into force.</summary>
    public void Enforce(ApplicationGoal goal)
    {
        foreach (DeploymentState deployment in _deployments)
        {
            if (goal.Deployments.FirstOrDefault(d => d.Name == deployment.Name) is { } wanted && DeploymentState.LimitsOf(wanted) is { } limits && limits != deployment.Served.Limits)
            {
                deployment.Served.Limits = limits;
            }
        }
    }

    private static bool AreAlike(DeploymentDefinition one, DeploymentDefinition other) => one.Request == other.Request && one.Response == other.Response;

    private static int IndexOf(ApplicationGoal goal, DeploymentState deployment) =>
        goal.Deployments.Select((d, i) => (d.Name, i)).First(d => d.Name == deployment.Name).i;

    private static ReplicaCode CodeOf(ApplicationGoal goal, DeploymentGoal deployment) => new(goal.Code, deployment.Worker);

    private static DeploymentDefinition Definition(ApplicationDefinition definition, DeploymentGoal goal) => definition.Deployments.First(d => d.Name == goal.Name);

    private DeploymentState Create(ApplicationGoal goal, DeploymentGoal wanted, ApplicationDefinition definition)
    {
        DeploymentDefinition code = Definition(definition, wanted);
        DeploymentState deployment = new(new(goal.Name, code, DeploymentState.LimitsOf(wanted), _environment), code, CodeOf(goal, wanted), wanted);
        deployment.NoteBuild(_environment);
        return deployment;
    }
}
