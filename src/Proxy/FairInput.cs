using System.Buffers;
using System.IO.Pipelines;

namespace Serve.Embedded.Proxy;

/// <summary>
/// A connection's input where requests are handled on the thread that receives them. After so much of it the reader goes on in the thread pool: a client that sends faster than its requests are
/// handled would otherwise have that thread to itself, and everybody else on it would wait.
/// </summary>
internal sealed class FairInput(PipeReader input) : PipeReader
{
    private const int LongestTurn = 64 * 1024;

    private long _consumed;
    private long _turn;

    public override bool TryRead(out ReadResult result) => input.TryRead(out result);

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (_turn < LongestTurn)
        {
            return input.ReadAsync(cancellationToken);
        }

        _turn = 0;
        return ReadInPoolAsync(cancellationToken);
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        // A pipe that was read to its end counts from the beginning again.
        long before = _consumed;
        _consumed = (consumed.GetObject() as ReadOnlySequenceSegment<byte>)?.RunningIndex + consumed.GetInteger() ?? 0;
        _turn += _consumed > before ? _consumed - before : _consumed;
        input.AdvanceTo(consumed, examined);
    }

    public override void CancelPendingRead() => input.CancelPendingRead();

    public override void Complete(Exception? exception = null) => input.Complete(exception);

    private async ValueTask<ReadResult> ReadInPoolAsync(CancellationToken cancellationToken)
    {
        await Task.Yield();
        return await input.ReadAsync(cancellationToken);
    }
}

/// <summary>A connection's two ends, one of them another than it came with.</summary>
internal sealed record Duplex(PipeReader Input, PipeWriter Output) : IDuplexPipe;
