namespace Serve.Embedded.Controller;

/// <summary>Deployments of one application on their way out, callers before callees.</summary>
internal sealed record Departure(IReadOnlyList<DeploymentState> Deployments)
{
    public string Application => Deployments[0].Served.Application;
}
