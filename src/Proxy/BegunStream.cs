namespace Serve.Embedded.Proxy;

/// <summary>A streamed result whose first chunk has been asked for. What fails at once, such as the refusal of another deployment, can so be answered with a status of its own; what comes later waits for nothing.</summary>
internal sealed class BegunStream : IAsyncDisposable
{
    private readonly IAsyncEnumerator<ReadOnlyMemory<byte>> _chunks;
    private readonly Task<bool> _first;

    public BegunStream(IAsyncEnumerable<ReadOnlyMemory<byte>> chunks, CancellationToken cancellationToken)
    {
        _chunks = chunks.GetAsyncEnumerator(cancellationToken);
        _first = _chunks.MoveNextAsync().AsTask();
    }

    /// <summary>Throws what the first chunk has thrown already.</summary>
    public void ThrowIfFailed()
    {
        if (_first.IsFaulted)
        {
            _first.GetAwaiter().GetResult();
        }
    }

    public async Task WriteAsync(System.IO.Pipelines.PipeWriter writer, CancellationToken cancellationToken)
    {
        for (bool more = await _first; more; more = await _chunks.MoveNextAsync())
        {
            await writer.WriteAsync(_chunks.Current, cancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        // An enumerator may not be disposed of while it works.
        await ((Task)_first).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _chunks.DisposeAsync();
    }
}
