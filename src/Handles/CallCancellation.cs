using Serve.Embedded.Deployments;

namespace Serve.Embedded.Handles;

/// <summary>
/// What a handler is given as its token: it ends with the caller, with the call's own time, and with the replica. Used again for other calls where nothing has ended it.
/// </summary>
internal sealed class CallCancellation
{
    private readonly CancellationTokenSource _source = new();
    private CancellationTokenRegistration _caller;
    private CancellationTokenRegistration _replica;

    public CancellationToken Token => _source.Token;

    public void Link(CancellationToken caller, CancellationToken replica)
    {
        _caller = caller.UnsafeRegister(static source => ((CancellationTokenSource)source!).CancelWhateverThrows(), _source);
        _replica = replica.UnsafeRegister(static source => ((CancellationTokenSource)source!).CancelWhateverThrows(), _source);
    }

    /// <summary>Lets go of both. <see langword="true"/> if it can serve another call.</summary>
    public bool TryReset()
    {
        _caller.Dispose();
        _replica.Dispose();
        _caller = default;
        _replica = default;
        return _source.TryReset();
    }
}
