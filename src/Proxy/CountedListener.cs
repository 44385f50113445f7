using System.Net;
using Microsoft.AspNetCore.Connections;

namespace Serve.Embedded.Proxy;

/// <summary>A listener that knows how many connections it has handed out, and when it has handed out its last.</summary>
internal sealed class CountedListener(IConnectionListener inner) : IConnectionListener
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _accepted;

    public EndPoint EndPoint => inner.EndPoint;

    public int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Completes once nothing more can be accepted; then <see cref="Accepted"/> stands.</summary>
    public Task Ended => _ended.Task;

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        ConnectionContext? connection = await inner.AcceptAsync(cancellationToken);
        if (connection is null)
        {
            _ended.TrySetResult();
        }
        else
        {
            Interlocked.Increment(ref _accepted);
        }

        return connection;
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => inner.UnbindAsync(cancellationToken);

    public ValueTask DisposeAsync() => inner.DisposeAsync();
}
