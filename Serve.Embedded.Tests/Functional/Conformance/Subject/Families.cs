using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Tests.Functional.Conformance.Subject;

internal sealed class Child(Work work) : IDeployment<string, string>
{
    public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => work.DoAsync(request, cancellationToken);
}

/// <summary>Hands its path on to its child.</summary>
internal sealed class Parent(DeploymentHandle<string, string> child) : IDeployment<HttpRequest, string>
{
    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => child.CallAsync(Probe.Order(request), cancellationToken);
}

internal sealed class HttpParent(DeploymentHandle<string, string> child) : IHttpDeployment
{
    public async ValueTask HandleAsync(HttpContext context, CancellationToken cancellationToken) =>
        await context.Response.WriteAsync(await child.CallAsync(Probe.Order(context.Request), cancellationToken), cancellationToken);
}

internal sealed class BlockingParent(DeploymentHandle<string, string> child) : IBlockingDeployment<HttpRequest, string>
{
    public string Handle(HttpRequest request, CancellationToken cancellationToken) => child.CallAsync(Probe.Order(request), cancellationToken).AsTask().GetAwaiter().GetResult();
}

/// <summary>Answers itself for a child that refuses.</summary>
internal sealed class CatchingParent(DeploymentHandle<string, string> child) : IDeployment<HttpRequest, string>
{
    public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        try
        {
            return await child.CallAsync(Probe.Order(request), cancellationToken);
        }
        catch (BackPressureException refusal)
        {
            return $"caught {refusal.StatusCode}: {refusal.Message}";
        }
    }
}

/// <summary>Begins a call when it is made; <c>/early</c> answers what that call does.</summary>
internal sealed class EarlyParent(DeploymentHandle<string, string> child) : IDeployment<HttpRequest, string>
{
    private readonly Task<string> _early = child.CallAsync("hold/early").AsTask();

    public ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) =>
        request.Path == "/early" ? new(_early.WaitAsync(cancellationToken)) : child.CallAsync(Probe.Order(request), cancellationToken);
}

internal sealed class BroadcastingParent(DeploymentHandle<string, string> children) : IDeployment<HttpRequest, string>
{
    public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) =>
        string.Join('\n', await children.BroadcastAsync(Probe.Order(request), cancellationToken));
}

internal sealed class Named(DeploymentContext context) : IDeployment<string, string>
{
    public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => new($"{request} {context.ReplicaId}");
}

/// <summary><c>/5</c> calls its child five times at once.</summary>
internal sealed class Fan(DeploymentHandle<string, string> child) : IDeployment<HttpRequest, string>
{
    public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => string.Join(',', await Task.WhenAll(Enumerable
        .Range(0, int.Parse(Probe.Order(request), CultureInfo.InvariantCulture))
        .Select(i => child.CallAsync($"{i}", cancellationToken).AsTask())));
}

internal sealed class ChildBatch : IBatchDeployment<string, string>
{
    public ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<string> batch, CancellationToken cancellationToken) =>
        new([.. batch.Select(name => $"{name} of {batch.Count}")]);
}

/// <summary>A version, as the application's <c>args</c> say; with <c>bad</c> it does not start, with <c>slow</c> each replica starts when its id is released.</summary>
internal sealed class Versioned : IDeployment<string, string>
{
    private readonly string _version;

    public Versioned(Board board, DeploymentContext context)
    {
        _version = context.Args!.Value.GetProperty("version").GetString()!;
        if (context.Args.Value.TryGetProperty("bad", out _))
        {
            throw new InvalidOperationException($"{_version} was told not to start.");
        }

        if (context.Args.Value.TryGetProperty("slow", out _))
        {
            board.ReleasedAsync(context.ReplicaId, CancellationToken.None).GetAwaiter().GetResult();
        }
    }

    public ValueTask<string> HandleAsync(string request, CancellationToken cancellationToken) => new(_version);
}

internal sealed class VersionedParent(DeploymentHandle<string, string> child, DeploymentContext context) : IDeployment<HttpRequest, string>
{
    private readonly string _version = context.Args!.Value.GetProperty("version").GetString()!;

    public async ValueTask<string> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => $"{_version} {await child.CallAsync("", cancellationToken)}";
}
