using Serve.Embedded.Config;
using Serve.Embedded.Replicas;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Proxy;

/// <summary>When a request whose worker failed it goes to another one. Counts the attempts of one request.</summary>
internal struct Repeats
{
    /// <summary>Of attempts in which nothing was sent: more than there can be dead workers that the controller has not yet taken out.</summary>
    private const int MostUnsent = 8;

    /// <summary>The longest that the controller may take to notice that a replica has ended.</summary>
    private static readonly TimeSpan WithdrawalTime = TimeSpan.FromSeconds(1);

    /// <summary>How long a process that was killed may look alive.</summary>
    private static readonly TimeSpan DyingTime = TimeSpan.FromMilliseconds(100);

    private int _unsent;
    private bool _wasSent;

    /// <summary>A worker may have run it.</summary>
    public readonly bool WasSent => _wasSent;

    /// <summary>Whether the request may be sent again over a new connection if its worker closes a kept one under it, and its method allows that: not where nothing is repeated, nor when it was repeated already.</summary>
    public readonly bool MayBeSentAgain(RetryMode mode) => !_wasSent && mode != RetryMode.Never;

    /// <summary>
    /// Waits until the replica is out, before its permit is given back: or the request would be sent to it again at once. One that is dying may still take connections.
    /// </summary>
    public static Task PauseAsync(Replica replica, WorkerFailedException failure, TimeProvider time) =>
        Task.WhenAny(replica.Withdrawn, Task.Delay(failure.WorkerIsGone ? WithdrawalTime : DyingTime, time));

    /// <summary>Whether to try again; counts it if so. A request that was sent is sent once more and never again, so that one that kills its worker kills no third.</summary>
    public bool MayRepeat(WorkerFailedException failure, string method, RetryMode mode)
    {
        if (!failure.CanRepeat)
        {
            return false;
        }

        if (failure.NothingSent)
        {
            return ++_unsent <= MostUnsent;
        }

        if (_wasSent || mode == RetryMode.Never || (mode == RetryMode.Idempotent && !IdempotentMethods.Contain(method)))
        {
            return false;
        }

        _wasSent = true;
        return true;
    }
}
