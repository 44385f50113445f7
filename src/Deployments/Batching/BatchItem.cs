using System.Diagnostics;
using System.Threading.Tasks.Sources;

namespace Serve.Embedded.Deployments;

/// <summary>
/// One caller in a <see cref="Batcher{TRequest, TResponse}"/>. Used again for another caller once its own has taken the answer: it holds a permit of the replica, so there are never more than those.
/// </summary>
internal sealed class BatchItem<TRequest, TResponse>(Batcher<TRequest, TResponse> owner) : IValueTaskSource<TResponse>
{
    /// <summary>Its caller goes on elsewhere: the batch has others to answer and the next one to begin.</summary>
    private ManualResetValueTaskSourceCore<TResponse> _core = new() { RunContinuationsAsynchronously = true };

    private CancellationTokenRegistration _leaves;

    public TRequest Request { get; set; } = default!;

    public int Size { get; set; }

    /// <summary>When it came.</summary>
    public long Since { get; set; }

    /// <summary>The queue that it is in, or was in.</summary>
    public BatchQueue<TRequest, TResponse> Queue { get; set; } = null!;

    /// <summary>The span of its caller, where somebody traces.</summary>
    public ActivityContext Caller { get; set; }

    /// <summary>The batch that it is in; <see langword="null"/> = it waits, or has left.</summary>
    public Batch<TRequest, TResponse>? Batch { get; set; }

    /// <summary>Whether it is among those who wait; neighbours are as in any linked list. All of these belong to the owner's lock.</summary>
    public bool Waits { get; set; }

    public BatchItem<TRequest, TResponse>? Previous { get; set; }

    public BatchItem<TRequest, TResponse>? Next { get; set; }

    /// <summary>Completes with the caller's answer. Await it once.</summary>
    public ValueTask<TResponse> Answer => new(this, _core.Version);

    public void Watch(CancellationToken cancellationToken) => _leaves = cancellationToken.UnsafeRegister(
        static (item, token) =>
        {
            BatchItem<TRequest, TResponse> self = (BatchItem<TRequest, TResponse>)item!;
            self.Owner.Leave(self, token);
        },
        this);

    public void SetAnswer(TResponse answer) => _core.SetResult(answer);

    public void Fail(Exception exception) => _core.SetException(exception);

    TResponse IValueTaskSource<TResponse>.GetResult(short token)
    {
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            // Waits for a cancellation that is just being told, so that it never meets the item's next caller.
            _leaves.Dispose();
            _leaves = default;
            _core.Reset();
            Request = default!;
            owner.TakeBack(this);
        }
    }

    ValueTaskSourceStatus IValueTaskSource<TResponse>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<TResponse>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private Batcher<TRequest, TResponse> Owner => owner;
}
