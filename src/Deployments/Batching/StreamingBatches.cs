using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace Serve.Embedded.Deployments;

/// <summary>Answers that callers have before there is anything in them.</summary>
internal interface IUnfinishedAnswers
{
    /// <summary>Does the work. Never fails: what goes wrong is in the answers.</summary>
    Task FinishAsync();
}

/// <summary>A handler whose batches are answered with streams: each caller has one, and what the handler yields is dealt out to them.</summary>
internal sealed class StreamingBatches<TRequest, TItem>(IStreamingBatchDeployment<TRequest, TItem> handler, string deployment) : IBatchDeployment<TRequest, IAsyncEnumerable<TItem>>
{
    public ValueTask<IReadOnlyList<IAsyncEnumerable<TItem>>> HandleBatchAsync(IReadOnlyList<TRequest> batch, CancellationToken cancellationToken) =>
        new(new Streams(handler, batch, deployment, cancellationToken));

    /// <summary>The streams of one batch.</summary>
    private sealed class Streams : List<IAsyncEnumerable<TItem>>, IUnfinishedAnswers
    {
        private readonly IStreamingBatchDeployment<TRequest, TItem> _handler;
        private readonly IReadOnlyList<TRequest> _batch;
        private readonly string _deployment;
        private readonly CancellationToken _batchEnds;
        private readonly Channel<TItem>[] _channels;
        private readonly CancellationTokenSource _unwanted = new();
        private int _open;

        public Streams(IStreamingBatchDeployment<TRequest, TItem> handler, IReadOnlyList<TRequest> batch, string deployment, CancellationToken batchEnds)
        {
            _handler = handler;
            _batch = batch;
            _deployment = deployment;
            _batchEnds = batchEnds;
            _open = batch.Count;
            _channels = new Channel<TItem>[batch.Count];
            for (int i = 0; i < batch.Count; i++)
            {
                // Without a bound: a reader who is slow holds up nobody else's stream. A stream is as long as its handler makes it.
                _channels[i] = Channel.CreateUnbounded<TItem>(new() { SingleReader = true, SingleWriter = true });
                Add(ReadAsync(i, CancellationToken.None));
            }
        }

        public async Task FinishAsync()
        {
            Exception? error = null;
            try
            {
                using (_batchEnds.UnsafeRegister(static streams => ((Streams)streams!)._unwanted.Cancel(), this))
                {
                    await foreach (IReadOnlyList<BatchStep<TItem>> steps in _handler.HandleBatchAsync(_batch, _unwanted.Token))
                    {
                        Deal(steps);
                        if (Volatile.Read(ref _open) == 0)
                        {
                            break;
                        }
                    }
                }
            }
#pragma warning disable CA1031 // Whatever a handler throws belongs to the callers of this batch, never to the batcher.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                error = exception;
            }

            foreach (Channel<TItem> channel in _channels)
            {
                channel.Writer.TryComplete(error);
            }
        }

        private void Deal(IReadOnlyList<BatchStep<TItem>> steps)
        {
            if (steps is null || steps.Count != _channels.Length)
            {
                throw new InvalidOperationException(
                    $"Batched function doesn't preserve batch size. The handler of deployment '{_deployment}' was given {_channels.Length} request(s) and yielded {(steps is null ? "null" : $"{steps.Count} step(s)")}: it must yield one for each, in the same order.");
            }

            for (int i = 0; i < steps.Count; i++)
            {
                if (steps[i].HasItem)
                {
                    _channels[i].Writer.TryWrite(steps[i].Item);
                }
                else if (_channels[i].Writer.TryComplete())
                {
                    Interlocked.Decrement(ref _open);
                }
            }
        }

        private async IAsyncEnumerable<TItem> ReadAsync(int caller, [EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            try
            {
                await foreach (TItem item in _channels[caller].Reader.ReadAllAsync(cancellationToken))
                {
                    yield return item;
                }
            }
            finally
            {
                // Who leaves before the end wants nothing more; when nobody does, the handler is told.
                if (_channels[caller].Writer.TryComplete() && Interlocked.Decrement(ref _open) == 0)
                {
                    _ = _unwanted.CancelAsync();
                }
            }
        }
    }
}
