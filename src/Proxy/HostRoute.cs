using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;
using Serve.Embedded.Handles;

namespace Serve.Embedded.Proxy;

/// <summary>Where an endpoint of the host leads: to all applications by their prefixes, to one of them, or to one deployment.</summary>
/// <param name="serving">What is served.</param>
/// <param name="application"><see langword="null"/> = all.</param>
/// <param name="deployment"><see langword="null"/> = the ingress deployment.</param>
internal sealed class HostRoute(ServingState serving, string? application, string? deployment)
{
    /// <summary>The catch-all parameter at the end of the endpoint's pattern.</summary>
    public const string RestParameter = "servePath";

    private readonly Lock _gate = new();
    private Target? _target;

    /// <summary>Which it leads to; <see langword="null"/> = all.</summary>
    public string? Application => application;

    /// <summary>Which of it; <see langword="null"/> = the ingress deployment.</summary>
    public string? Deployment => deployment;

    /// <summary>How much of the path belongs to the host: what the catch-all parameter has left.</summary>
    public static int MountLength(HttpContext context, string path)
    {
        int rest = context.Request.RouteValues.TryGetValue(RestParameter, out object? value) && value is string { Length: > 0 } text ? text.Length + 1
            : path.EndsWith('/') ? 1
            : 0;
        return Math.Max(0, path.Length - rest);
    }

    public bool TryMatch(RouteTable routes, string path, [NotNullWhen(true)] out ServedApplication? found)
    {
        if (application is null)
        {
            return routes.TryMatch(path, out found);
        }

        found = Current();
        return found is not null;
    }

    /// <summary>The same application as it is served now.</summary>
    public ServedApplication? Find(RouteTable routes, string name) => application is null ? routes.Find(name) : Current();

    private ServedApplication? Current()
    {
        ServingSnapshot snapshot = serving.Current;
        Target? target = Volatile.Read(ref _target);
        return target?.Snapshot == snapshot ? target.Application : Look(snapshot);
    }

    private ServedApplication? Look(ServingSnapshot snapshot)
    {
        lock (_gate)
        {
            if (_target?.Snapshot == snapshot)
            {
                return _target.Application;
            }

            // The whole of the path below the endpoint is the application's.
            ServedApplication? found = snapshot.Applications.FirstOrDefault(a => a.Name == application);
            found = found is null ? null : deployment is null ? found with { RoutePrefix = null } : OfDeployment(found, _target?.Application);
            Volatile.Write(ref _target, new(snapshot, found));
            return found;
        }
    }

    private ServedApplication? OfDeployment(ServedApplication found, ServedApplication? before)
    {
        ServedDeployment? served = found.Deployments.FirstOrDefault(d => d.Name == deployment && d.Definition.Http is not null);
        return served is null ? null : found with
        {
            RoutePrefix = null,
            Ingress = served,
            Handle = before?.Ingress == served ? before.Handle : served.OpenHandle(),
        };
    }

    private sealed record Target(ServingSnapshot Snapshot, ServedApplication? Application);
}
