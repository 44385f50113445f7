using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;

namespace Serve.Embedded.Controller;

/// <summary>One build of an application: its deployments from one import path. A new import path is a new revision beside the old one.</summary>
internal sealed class Revision
{
    public Revision(ApplicationGoal goal, ApplicationDefinition code, ServeEnvironment environment)
    {
        ImportPath = goal.ImportPath;
        Deployments =
        [
            .. goal.Deployments.Select(d => new DeploymentState(
                new(goal.Name, code.Deployments.First(c => c.Name == d.Name), DeploymentState.LimitsOf(d), environment),
                d)),
        ];
        Handle = Ingress.Served.OpenHandle();
    }

    public string ImportPath { get; }

    public IReadOnlyList<DeploymentState> Deployments { get; }

    public DeploymentState Ingress => Deployments[0];

    /// <summary>The proxy's own handle to the ingress deployment.</summary>
    public Handle Handle { get; }

    public bool IsAtGoal => Deployments.All(d => d.IsAtGoal);

    public bool IsSettled => Deployments.All(d => d.IsSettled);

    public bool IsFailed => IsSettled && !IsAtGoal;

    public IReadOnlyDictionary<string, ServedDeployment> ByName() => Deployments.ToDictionary(d => d.Name, d => d.Served, StringComparer.Ordinal);

    public void Take(ApplicationGoal goal)
    {
        foreach (DeploymentState deployment in Deployments)
        {
            deployment.Take(goal.Deployments.First(d => d.Name == deployment.Name));
        }
    }
}

/// <summary>One application as it runs: the revision that serves, and the one that shall replace it.</summary>
internal sealed class ApplicationState(ApplicationGoal goal, Revision serving, DateTimeOffset deployedAt)
{
    public ApplicationGoal Goal { get; set; } = goal;

    public Revision Serving { get; set; } = serving;

    /// <summary>On its way up; <see langword="null"/> when none is.</summary>
    public Revision? Coming { get; set; }

    /// <summary>Why the last revision on its way up never got there.</summary>
    public string? Failure { get; set; }

    public DateTimeOffset DeployedAt { get; set; } = deployedAt;
}
