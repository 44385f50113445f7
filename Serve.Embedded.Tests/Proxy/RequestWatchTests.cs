using Serve.Embedded.Proxy;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Proxy;

public sealed class RequestWatchTests
{
    /// <summary>Or the replica would never be said to have stopped.</summary>
    [Fact]
    public async Task WatchRun_ReplicaStopsAndHandlerHasRegisteredWhatThrows_StopGoesOn()
    {
        using CancellationTokenSource replica = new();
        RequestWatch watch = new(new ManualTimeProvider(), static _ => { });
        watch.Token.Register(static () => throw new InvalidOperationException("no luck"));
        watch.WatchRun(leaves: CancellationToken.None, replica.Token);

        await replica.CancelAsync();

        Assert.Equal(EarlyEnd.ReplicaStops, watch.Cause);
        Assert.True(watch.Token.IsCancellationRequested);
    }
}
