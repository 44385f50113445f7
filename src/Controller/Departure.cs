namespace Serve.Embedded.Controller;

/// <summary>Deployments of one application on their way out, callers before callees.</summary>
internal sealed record Departure(IReadOnlyList<DeploymentState> Deployments)
{
    public string Application => Deployments[0].Served.Application;

    /// <summary>Code adds deployments in any order; who calls whom is known by the handles that replicas have asked for.</summary>
    public static Departure Of(IEnumerable<DeploymentState> deployments)
    {
        List<DeploymentState> left = [.. deployments];
        List<DeploymentState> inOrder = [];
        while (left.Count > 0)
        {
            // A handle that would have closed a circle was asked for too, although nobody got it.
            DeploymentState next = left.Find(d => !left.Exists(other => other != d && other.Served.AskedFor(d.Name))) ?? left[0];
            left.Remove(next);
            inOrder.Add(next);
        }

        return new(inOrder);
    }
}
