using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Admin;
using Serve.Embedded.Admin.Dashboard;
using Serve.Embedded.Hosting;
using Serve.Embedded.Proxy;

namespace Serve.Embedded;

/// <summary>Maps a server into an application's routes.</summary>
public static class ServeEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Maps the server's applications below a path, each at its route prefix. What the application demands of its endpoints holds for them too: put <c>RequireAuthorization</c>, <c>RequireCors</c>,
    /// <c>RequireRateLimiting</c> and metadata on what this returns. Requests are admitted, refused, timed and identified as on a port of the server's own; handlers see the host's
    /// <see cref="Microsoft.AspNetCore.Http.HttpContext"/>. In the application's API descriptions (OpenAPI) each of them is an operation; <c>Accepts</c>, <c>Produces</c>, <c>WithTags</c>, <c>WithSummary</c> and
    /// <c>ExcludeFromDescription</c> say what is not known of it.
    /// </summary>
    /// <param name="endpoints">The application.</param>
    /// <param name="prefix">The path below which everything is the server's, such as <c>/ml</c>; route parameters are allowed. Default: all that no other endpoint takes.</param>
    /// <param name="application">Only this application, whatever its route prefix; 404 while it is not served. <see langword="null"/> (default) = all that have one.</param>
    /// <param name="deployment">Only this deployment of it, which must answer HTTP; <see langword="null"/> (default) = the application's ingress.</param>
    /// <returns>The endpoint, for conventions.</returns>
    /// <exception cref="InvalidOperationException"><c>AddServe</c> was not called.</exception>
    /// <exception cref="ArgumentException">Code added the application, and the deployment is none of it or does not answer HTTP.</exception>
    public static RouteHandlerBuilder MapServe(
        this IEndpointRouteBuilder endpoints, [StringSyntax("Route")] string prefix = "", string? application = null, string? deployment = null)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentNullException.ThrowIfNull(prefix);
        ServeHost host = HostOf(endpoints);
        HostRoute route = host.RouteTo(application, deployment);
        string below = prefix.TrimEnd('/');
        IEndpointConventionBuilder endpoint = endpoints
            .Map($"{below}/{{**{HostRoute.RestParameter}}}", context => host.HandleAsync(context, route))
            .WithMetadata(route)
            .WithDisplayName($"Serve {(below.Length > 0 ? below : "/")}{(application is null ? "" : $" {application}")}{(deployment is null ? "" : $"/{deployment}")}");

        // What says Accepts and Produces is a method of this type alone.
        return new([endpoint]);
    }

    /// <summary>
    /// Maps the admin API, which shows everything and changes everything, and at the path itself the dashboard, a page that shows it: put <c>RequireAuthorization</c> on what this returns. Where the configuration has a <c>token_file</c>, its token is asked for too.
    /// Requests that change something from a web page of another origin are refused. A shutdown stops the host.
    /// </summary>
    /// <param name="endpoints">The application.</param>
    /// <param name="prefix">The path below which it is, such as <c>/serve-admin</c>.</param>
    /// <returns>The endpoints, for conventions.</returns>
    /// <exception cref="InvalidOperationException"><c>AddServe</c> was not called.</exception>
    public static IEndpointConventionBuilder MapServeAdmin(this IEndpointRouteBuilder endpoints, [StringSyntax("Route")] string prefix)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentNullException.ThrowIfNull(prefix);
        HostAdmin admin = new(HostOf(endpoints));
        RouteGroupBuilder group = endpoints.MapGroup(prefix);
        new AdminEndpoints(admin).Map(group);
        ((IEndpointConventionBuilder)group).Finally(endpoint => endpoint.RequestDelegate = admin.Guard(endpoint.RequestDelegate!, isOpen: endpoint.Metadata.OfType<DashboardFile>().Any()));
        return group;
    }

    private static ServeHost HostOf(IEndpointRouteBuilder endpoints) => endpoints.ServiceProvider.GetService<ServeHost>()
        ?? throw new InvalidOperationException("There is no server to map: call builder.Services.AddServe(...) first.");
}
