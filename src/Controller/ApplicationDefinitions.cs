using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Controller;

/// <summary>Finds what an application's replicas are made with: what code registered, or what starts their processes.</summary>
/// <param name="registry">The applications that are compiled in.</param>
/// <param name="makeWorker">Makes the handler of a replica that is a process.</param>
internal sealed class ApplicationDefinitions(DeploymentRegistry registry, Func<WorkerSettings, DeploymentContext, WorkerDeployment> makeWorker)
{
    public ApplicationDefinition Of(ApplicationGoal goal) =>
        goal.Code.ImportPath is { } path && registry.Applications.TryGetValue(path, out ApplicationDefinition? compiledIn)
            ? compiledIn
            : new(goal.Code.ToString(), [.. goal.Deployments.Select(d => OfWorker(d.Name, d.Worker!))]);

    private DeploymentDefinition OfWorker(string name, WorkerSettings settings) =>
        new(name, context => makeWorker(settings, context), new(), new ContextEntry(), blocks: false) { PassesOn = true };
}
