namespace Serve.Embedded.Deployments;

/// <summary>One deployment as code registered it: how to make a replica's handler, and how requests enter it.</summary>
internal sealed class DeploymentDefinition(
    string name,
    Func<DeploymentContext, object> factory,
    DeploymentOptions options,
    HttpEntry? http,
    bool blocks,
    Type? request = null,
    Type? response = null,
    Func<object, DeploymentContext, CancellationToken, object>? entry = null)
{
    public string Name => name;

    public DeploymentOptions Options => options;

    /// <summary><see langword="null"/> = it cannot be an ingress deployment.</summary>
    public HttpEntry? Http => http;

    /// <summary>Whether the handler blocks, so that its replicas need threads of their own.</summary>
    public bool Blocks => blocks;

    /// <summary>Whether what gathers requests for the handler makes calls that block.</summary>
    public bool BatchesBlock { get; init; }

    /// <summary>Whether its handlers pass requests on to processes, so that a plain one needs no context.</summary>
    public bool PassesOn { get; init; }

    /// <summary>What calls from code send; <see langword="null"/> = it takes none.</summary>
    public Type? Request => request;

    /// <summary>What calls from code get back.</summary>
    public Type? Response => response;

    /// <summary>Both as type arguments, for handles that the container gives.</summary>
    public CallTypes? Calls { get; init; }

    /// <summary>Deployments of its application to which the container gives it handles, as far as that is known before a replica is made.</summary>
    public IReadOnlyList<string> Callees { get; set; } = [];

    /// <summary>Why a handle for these types cannot be had; <see langword="null"/> = it can.</summary>
    public string? TypeTrouble(string application, Type request, Type response) => Request == request && Response == response ? null
        : $"Deployment '{name}' of application '{application}' takes {Request?.Name ?? "HTTP only"} and answers {Response?.Name ?? "HTTP only"}, not {request.Name} and {response.Name}.";

    public object CreateHandler(DeploymentContext context) => factory(context);

    /// <summary>What requests are given to: the handler itself, or what gathers them for it.</summary>
    /// <param name="handler">A replica's handler.</param>
    /// <param name="context">What it was made with.</param>
    /// <param name="stopping">Set when the replica must stop now.</param>
    public object CreateEntry(object handler, DeploymentContext context, CancellationToken stopping) => entry is null ? handler : entry(handler, context, stopping);
}
