using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc.ApiExplorer;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Deployments;
using Serve.Embedded.Proxy;

namespace Serve.Embedded.Hosting;

/// <summary>
/// Tells the host's API descriptions, and so its OpenAPI document, of what <c>MapServe</c> has mapped: each application where it answers, with what its ingress deployment is known to answer. What handlers
/// take is known to them alone, and so are the paths below; metadata on the endpoint say it.
/// </summary>
/// <param name="services">The host's. It may have no endpoints at all, and then nobody asks.</param>
internal sealed class ServeApiDescriptions(IServiceProvider services) : IApiDescriptionProvider
{
    private const string PlainText = "text/plain";
    private const string Json = "application/json";

    /// <summary>An endpoint takes all methods unless it says otherwise; these two are what deployments mostly answer.</summary>
    private static readonly string[] UsualMethods = [HttpMethods.Get, HttpMethods.Post];

    /// <summary>That of the framework's own for endpoints.</summary>
    public int Order => -1100;

    public void OnProvidersExecuting(ApiDescriptionProviderContext context)
    {
        foreach (RouteEndpoint endpoint in services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>())
        {
            if (endpoint.Metadata.GetMetadata<HostRoute>() is not { } route || endpoint.Metadata.GetMetadata<IExcludeFromDescriptionMetadata>() is { ExcludeFromDescription: true })
            {
                continue;
            }

            foreach (MappedApplication application in services.GetRequiredService<ServeHost>().MappedBy(route))
            {
                IReadOnlyList<string> methods = endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods is { Count: > 0 } some ? some : UsualMethods;
                foreach (string method in methods)
                {
                    context.Results.Add(Describe(endpoint, application, method, isOnly: methods.Count == 1 && route.Application is not null));
                }
            }
        }
    }

    public void OnProvidersExecuted(ApiDescriptionProviderContext context)
    {
    }

    private static ApiDescription Describe(RouteEndpoint endpoint, MappedApplication application, string method, bool isOnly)
    {
        ApiDescription description = new()
        {
            HttpMethod = method,
            GroupName = endpoint.Metadata.GetMetadata<IEndpointGroupNameMetadata>()?.EndpointGroupName,
            RelativePath = PathOf(endpoint.RoutePattern, application.Prefix),
            ActionDescriptor = new()
            {
                DisplayName = endpoint.DisplayName,
                RouteValues = { ["controller"] = application.Name },
                EndpointMetadata = [.. MetadataOf(endpoint, application, isOnly)],
            },
        };
        foreach (RoutePatternParameterPart parameter in endpoint.RoutePattern.Parameters.Where(p => p.Name != HostRoute.RestParameter))
        {
            Type type = TypeOf(endpoint.RoutePattern, parameter);
            description.ParameterDescriptions.Add(new()
            {
                Name = parameter.Name,
                Source = BindingSource.Path,
                Type = type,
                IsRequired = true,
                ParameterDescriptor = new() { Name = parameter.Name, ParameterType = type },
                RouteInfo = new() { IsOptional = false },
            });
        }

        if (!HttpMethods.IsGet(method) && endpoint.Metadata.GetMetadata<IAcceptsMetadata>() is { } accepts)
        {
            AddBody(description, accepts);
        }

        foreach (ApiResponseType response in ResponsesOf(endpoint, application.Definition))
        {
            description.SupportedResponseTypes.Add(response);
        }

        return description;
    }

    /// <summary>As the route constrains it; text is nothing in particular, since whoever makes documents of it asks for MVC's knowledge of strings.</summary>
    private static Type TypeOf(RoutePattern pattern, RoutePatternParameterPart parameter) =>
        pattern.ParameterPolicies.TryGetValue(parameter.Name, out IReadOnlyList<RoutePatternParameterPolicyReference>? policies)
            ? policies.Select(p => p.Content switch
            {
                "int" => typeof(int),
                "long" => typeof(long),
                "guid" => typeof(Guid),
                "bool" => typeof(bool),
                "double" => typeof(double),
                "decimal" => typeof(decimal),
                "datetime" => typeof(DateTime),
                _ => null,
            }).FirstOrDefault(t => t is not null) ?? typeof(object)
            : typeof(object);

    private static void AddBody(ApiDescription description, IAcceptsMetadata accepts)
    {
        Type type = accepts.RequestType ?? typeof(Stream);
        description.ParameterDescriptions.Add(new()
        {
            Name = "body",
            Source = BindingSource.Body,
            Type = type,
            IsRequired = !accepts.IsOptional,
            ParameterDescriptor = new() { Name = "body", ParameterType = type },
        });
        foreach (string contentType in accepts.ContentTypes)
        {
            description.SupportedRequestFormats.Add(new() { MediaType = contentType });
        }
    }

    /// <summary>What the endpoint's conventions say, and what they leave unsaid. A name is for one operation.</summary>
    private static IEnumerable<object> MetadataOf(RouteEndpoint endpoint, MappedApplication application, bool isOnly)
    {
        foreach (object metadata in endpoint.Metadata.Where(m => isOnly || m is not IEndpointNameMetadata))
        {
            yield return metadata;
        }

        if (endpoint.Metadata.GetMetadata<ITagsMetadata>() is null)
        {
            yield return new TagsAttribute(application.Name);
        }

        if (endpoint.Metadata.GetMetadata<IEndpointSummaryMetadata>() is null)
        {
            yield return new EndpointSummaryAttribute(application.Deployment is { } deployment
                ? $"Deployment {deployment} of application {application.Name}"
                : $"Application {application.Name}");
        }
    }

    private static IEnumerable<ApiResponseType> ResponsesOf(RouteEndpoint endpoint, DeploymentDefinition? definition)
    {
        IReadOnlyList<IProducesResponseTypeMetadata> said = endpoint.Metadata.GetOrderedMetadata<IProducesResponseTypeMetadata>();
        foreach (IProducesResponseTypeMetadata produces in said)
        {
            yield return Response(produces.StatusCode, produces.Type ?? typeof(void), [.. produces.ContentTypes]);
        }

        if (said.Any(p => p.StatusCode == StatusCodes.Status200OK))
        {
            yield break;
        }

        (Type type, string[] contentTypes) = definition?.Response is not { } response ? (typeof(void), [])
            : HttpEntry.IsPlain(response) ? (typeof(string), [PlainText])
            : (response, (string[])[Json]);
        yield return Response(StatusCodes.Status200OK, type, contentTypes);
        yield return Response(StatusCodes.Status503ServiceUnavailable, typeof(string), [PlainText]);
    }

    private static ApiResponseType Response(int statusCode, Type type, string[] contentTypes) => new()
    {
        StatusCode = statusCode,
        Type = type,
        ApiResponseFormats = [.. contentTypes.Select(c => new ApiResponseFormat { MediaType = c })],
    };

    /// <summary>The endpoint's pattern without the rest that the application itself makes something of.</summary>
    private static string PathOf(RoutePattern pattern, string? prefix)
    {
        StringBuilder path = new();
        foreach (RoutePatternPathSegment segment in pattern.PathSegments)
        {
            if (segment.Parts is [RoutePatternParameterPart { Name: HostRoute.RestParameter }])
            {
                continue;
            }

            path.Append('/');
            foreach (RoutePatternPart part in segment.Parts)
            {
                path.Append(part switch
                {
                    RoutePatternParameterPart parameter => $"{{{parameter.Name}}}",
                    RoutePatternSeparatorPart separator => separator.Content,
                    RoutePatternLiteralPart literal => literal.Content,
                    _ => "",
                });
            }
        }

        return path.Append(prefix is "/" ? "" : prefix).ToString().TrimStart('/');
    }
}

/// <summary>An application where an endpoint of the host leads to it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Prefix">Below the endpoint; <see langword="null"/> = where the endpoint is.</param>
/// <param name="Deployment">Which answers; <see langword="null"/> = its ingress.</param>
/// <param name="Definition">What is known of it in code; <see langword="null"/> = nothing.</param>
internal sealed record MappedApplication(string Name, string? Prefix, string? Deployment, DeploymentDefinition? Definition);
