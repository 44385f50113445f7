using System.Diagnostics.CodeAnalysis;

namespace Serve.Embedded.Deployments;

/// <summary>One application as code registered it. The first deployment is the ingress.</summary>
internal sealed class ApplicationDefinition(string importPath, IReadOnlyList<DeploymentDefinition> deployments)
{
    public string ImportPath => importPath;

    public IReadOnlyList<DeploymentDefinition> Deployments => deployments;

    public DeploymentDefinition Ingress => deployments[0];

    public bool TryFind(string name, [NotNullWhen(true)] out DeploymentDefinition? definition)
    {
        definition = deployments.FirstOrDefault(d => d.Name == name);
        return definition is not null;
    }
}
