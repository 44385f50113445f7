using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Deployments;

/// <summary>Calls of a function in a deployment's place.</summary>
internal sealed class FunctionCalls<TRequest, TResponse>(Func<TRequest, CancellationToken, ValueTask<TResponse>> handle) : IDeploymentCalls<TRequest, TResponse>
{
    public ValueTask<TResponse> CallAsync(TRequest request, CancellationToken cancellationToken) => CallAsync(request, default, cancellationToken);

    public async ValueTask<TResponse> CallAsync(TRequest request, CallOptions options, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RequestScope.OfCall(options.ModelId, options.SessionId)?.Join();
        return await handle(request, cancellationToken);
    }

    public async ValueTask<IHeldCall<TResponse>> HoldAsync(TRequest request, CallOptions options, CancellationToken cancellationToken) =>
        new Held(await CallAsync(request, options, cancellationToken), RequestScope.OfCall(options.ModelId, options.SessionId), cancellationToken);

    public async Task<IReadOnlyList<TResponse>> BroadcastAsync(TRequest request, CancellationToken cancellationToken) => [await CallAsync(request, cancellationToken)];

    private sealed class Held(TResponse response, RequestScope? scope, CancellationToken token) : IHeldCall<TResponse>
    {
        public TResponse Response => response;

        public CancellationToken Token => token;

        public void Enter() => scope?.Join();

        public Exception Translate(Exception exception) => exception;

        public void End(bool completed, Exception? error)
        {
        }
    }
}
