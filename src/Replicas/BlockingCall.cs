using System.Threading.Tasks.Sources;

namespace Serve.Embedded.Replicas;

/// <summary>
/// One call of a blocking handler: runs on a thread of the replica, and goes on where it was awaited on the thread pool, so that the replica's
/// thread does the deployment's work and nothing else.
/// </summary>
internal sealed class BlockingCall<TResult> : IBlockingWork, IValueTaskSource<TResult>
{
    private readonly Func<TResult> _call;
    private ManualResetValueTaskSourceCore<TResult> _core = new() { RunContinuationsAsynchronously = true };

    private TResult? _result;
    private Exception? _error;

    private BlockingCall(Func<TResult> call) => _call = call;

    public static ValueTask<TResult> RunAsync(ReplicaThreads threads, Func<TResult> call)
    {
        BlockingCall<TResult> running = new(call);
        ValueTask<TResult> task = new(running, running._core.Version);
        threads.Run(running);
        return task;
    }

    public void Execute()
    {
        try
        {
            _result = _call();
        }
#pragma warning disable CA1031 // Whatever a handler throws belongs to its caller, never to the thread.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _error = exception;
        }
    }

    public void Complete()
    {
        if (_error is null)
        {
            _core.SetResult(_result!);
        }
        else
        {
            _core.SetException(_error);
        }
    }

    public TResult GetResult(short token) => _core.GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
