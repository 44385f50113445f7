using Microsoft.AspNetCore.Http;

namespace Serve.Embedded.Deployments;

/// <summary>How an HTTP request enters a handler: one way for each kind of ingress deployment.</summary>
internal abstract class HttpEntry
{
    /// <summary>Whether the call blocks and so must be made on a thread of the replica.</summary>
    public virtual bool Blocks => false;

    public abstract ValueTask<HttpResult> InvokeAsync(object handler, HttpContext context, CancellationToken cancellationToken);

    /// <summary>Whether what a handler answers goes over HTTP as it is; anything else goes as JSON.</summary>
    public static bool IsPlain(Type type) =>
        type == typeof(string) || type == typeof(byte[]) || type == typeof(ReadOnlyMemory<byte>) ||
        type == typeof(IAsyncEnumerable<string>) || type == typeof(IAsyncEnumerable<byte[]>) || type == typeof(IAsyncEnumerable<ReadOnlyMemory<byte>>);
}

/// <summary>Into an <see cref="IHttpDeployment"/>, which writes its own response.</summary>
internal sealed class ContextEntry : HttpEntry
{
    public override ValueTask<HttpResult> InvokeAsync(object handler, HttpContext context, CancellationToken cancellationToken)
    {
        ValueTask work = ((IHttpDeployment)handler).HandleAsync(context, cancellationToken);
        if (!work.IsCompletedSuccessfully)
        {
            return Await(work);
        }

        work.GetAwaiter().GetResult();
        return new(HttpResult.Written);
    }

    private static async ValueTask<HttpResult> Await(ValueTask work)
    {
        await work;
        return HttpResult.Written;
    }
}

/// <summary>Into an <see cref="IDeployment{TRequest, TResponse}"/> that takes the request and returns a value.</summary>
internal sealed class PlainEntry<TResponse>(ResultConverter<TResponse> converter) : HttpEntry
{
    public override ValueTask<HttpResult> InvokeAsync(object handler, HttpContext context, CancellationToken cancellationToken)
    {
        ValueTask<TResponse> work = ((IDeployment<HttpRequest, TResponse>)handler).HandleAsync(context.Request, cancellationToken);
        return work.IsCompletedSuccessfully ? new(converter.Convert(work.Result)) : Await(work);
    }

    private async ValueTask<HttpResult> Await(ValueTask<TResponse> work) => converter.Convert(await work);
}

/// <summary>Into an <see cref="IDeployment{TRequest, TResponse}"/> that takes what is made of the request.</summary>
internal sealed class ReadEntry<TRequest, TResponse>(Func<HttpRequest, CancellationToken, ValueTask<TRequest>> read, ResultConverter<TResponse> converter) : HttpEntry
{
    public override async ValueTask<HttpResult> InvokeAsync(object handler, HttpContext context, CancellationToken cancellationToken)
    {
        TRequest request = await read(context.Request, cancellationToken);
        return converter.Convert(await ((IDeployment<TRequest, TResponse>)handler).HandleAsync(request, cancellationToken));
    }
}

/// <summary>Into an <see cref="IBlockingDeployment{TRequest, TResponse}"/>.</summary>
internal sealed class BlockingEntry<TResponse>(ResultConverter<TResponse> converter) : HttpEntry
{
    public override bool Blocks => true;

    public override ValueTask<HttpResult> InvokeAsync(object handler, HttpContext context, CancellationToken cancellationToken) =>
        new(converter.Convert(((IBlockingDeployment<HttpRequest, TResponse>)handler).Handle(context.Request, cancellationToken)));
}
