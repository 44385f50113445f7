using System.Threading.Tasks.Sources;

namespace Serve.Embedded.Replicas;

/// <summary>
/// Whether one connection has something to read, for the one who reads it. It is set when the kernel tells of something (<see cref="EventLoop"/>), which it does once: who takes it must read until nothing is left, or set it again.
/// </summary>
/// <param name="continuesHere">Whether who waits goes on at once, on the thread that sets it, and not in the thread pool.</param>
/// <param name="onEnd">Runs when the other side has closed the connection, after whoever waits has been woken; <see langword="null"/> = nothing does.</param>
internal sealed class ReadSignal(bool continuesHere, Action? onEnd = null) : IValueTaskSource
{
    private const int Clear = 0;
    private const int IsSet = 1;
    private const int Awaited = 2;

    private ManualResetValueTaskSourceCore<bool> _wait = new() { RunContinuationsAsynchronously = !continuesHere };
    private int _state;
    private bool _hasEnded;

    /// <summary>Whether the other side has sent its last; that may still have to be read.</summary>
    public bool HasEnded => Volatile.Read(ref _hasEnded);

    /// <summary>Whether a read is worth a try.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref _state, Clear, IsSet) == IsSet || HasEnded;

    /// <summary>There may be more than was read.</summary>
    public void SetAgain() => Interlocked.CompareExchange(ref _state, IsSet, Clear);

    /// <summary>Completes when a read is worth a try. One waits at a time.</summary>
    public ValueTask WaitAsync()
    {
        _wait.Reset();
        return HasEnded || Interlocked.CompareExchange(ref _state, Awaited, Clear) != Clear ? ValueTask.CompletedTask : new(this, _wait.Version);
    }

    /// <summary>There is something to read.</summary>
    /// <param name="ended">Be it only the end.</param>
    public void Set(bool ended)
    {
        if (ended)
        {
            Volatile.Write(ref _hasEnded, true);
        }

        if (Interlocked.Exchange(ref _state, IsSet) == Awaited)
        {
            _wait.SetResult(true);
        }

        if (ended)
        {
            onEnd?.Invoke();
        }
    }

    /// <summary>Whoever waits is to look for himself. From any thread, none of which may be kept.</summary>
    public void Wake()
    {
        if (Interlocked.Exchange(ref _state, IsSet) == Awaited)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static signal => signal._wait.SetResult(true), this, preferLocal: false);
        }
    }

    void IValueTaskSource.GetResult(short token) => _wait.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _wait.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _wait.OnCompleted(continuation, state, token, flags);
}
