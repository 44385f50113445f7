using System.Runtime.CompilerServices;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Handles;

public sealed class DeploymentStreamsTests
{
    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task StreamAsync_HoldsItsPermitUntilItHasEnded()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = await CountsAsync();
        IAsyncEnumerator<int> items = deployment.Caller.StreamAsync(2, TestEnds).GetAsyncEnumerator(TestEnds);
        Assert.Equal(1, deployment.Served.Gate.Free);

        Assert.True(await items.MoveNextAsync());
        Assert.Equal((0, 0), (items.Current, deployment.Served.Gate.Free));
        Assert.True(await items.MoveNextAsync());
        Assert.Equal((1, 0), (items.Current, deployment.Served.Gate.Free));
        Assert.False(await items.MoveNextAsync());

        Assert.Equal((1, 1L), (deployment.Served.Gate.Free, deployment.Handle.Counts.Completed));
        await items.DisposeAsync();
        Assert.Equal((1, 1L), (deployment.Served.Gate.Free, deployment.Handle.Counts.Completed));
    }

    [Fact]
    public async Task StreamAsync_ReaderStops_EndsTheHandlerAndThePermitComesBack()
    {
        bool disposed = false;
        TestDeployment<int, IAsyncEnumerable<int>> deployment = new((_, count, _) => new(Stream()));
        await deployment.AddAsync();

        await foreach (int item in deployment.Caller.StreamAsync(100, TestEnds))
        {
            break;
        }

        Assert.True(disposed);
        Assert.Equal((1, 1L), (deployment.Served.Gate.Free, deployment.Handle.Counts.Cancelled));

        async IAsyncEnumerable<int> Stream()
        {
            try
            {
                while (true)
                {
                    yield return 1;
                    await Task.Yield();
                }
            }
            finally
            {
                disposed = true;
            }
        }
    }

    [Fact]
    public async Task StreamAsync_Refused_ThrowsInTheFirstItemsPlace()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = await CountsAsync(maxQueued: 0);
        await using IAsyncEnumerator<int> holds = deployment.Caller.StreamAsync(2, TestEnds).GetAsyncEnumerator(TestEnds);
        await holds.MoveNextAsync();

        await using IAsyncEnumerator<int> refused = deployment.Caller.StreamAsync(2, TestEnds).GetAsyncEnumerator(TestEnds);

        BackPressureException exception = await Assert.ThrowsAsync<BackPressureException>(async () => await refused.MoveNextAsync());
        Assert.Equal(503, exception.StatusCode);
        Assert.Equal(1, deployment.Handle.Counts.Shed);
    }

    [Fact]
    public async Task StreamAsync_WaitsInTheQueue_RunsWhenItIsItsTurn()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = await CountsAsync();
        IAsyncEnumerator<int> first = deployment.Caller.StreamAsync(1, TestEnds).GetAsyncEnumerator(TestEnds);
        await first.MoveNextAsync();
        await using IAsyncEnumerator<int> second = deployment.Caller.StreamAsync(1, TestEnds).GetAsyncEnumerator(TestEnds);
        Task<bool> waits = second.MoveNextAsync().AsTask();
        Assert.Equal(1, deployment.Handle.Queued);

        await first.DisposeAsync();

        Assert.True(await waits.WaitAsync(TestEnds));
    }

    [Fact]
    public async Task StreamAsync_Cancelled_EndsTheStreamAndThePermitComesBack()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = await BlocksAsync();
        using CancellationTokenSource leaves = new();
        await using IAsyncEnumerator<int> items = deployment.Caller.StreamAsync(0, leaves.Token).GetAsyncEnumerator(TestEnds);
        await items.MoveNextAsync();
        Task<bool> second = items.MoveNextAsync().AsTask();

        await leaves.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second.WaitAsync(TestEnds));
        Assert.Equal((1, 1L), (deployment.Served.Gate.Free, deployment.Handle.Counts.Cancelled));
    }

    [Fact]
    public async Task StreamAsync_TimeoutOfTheWholeStream_IsATimeout()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = await BlocksAsync();
        await using IAsyncEnumerator<int> items = deployment.Caller.StreamAsync(0, new CallOptions { Timeout = TimeSpan.FromSeconds(3) }, TestEnds).GetAsyncEnumerator(TestEnds);
        await items.MoveNextAsync();
        Task<bool> second = items.MoveNextAsync().AsTask();

        deployment.Clock.Advance(TimeSpan.FromSeconds(3));

        TimeoutException timedOut = await Assert.ThrowsAsync<TimeoutException>(() => second.WaitAsync(TestEnds));
        Assert.Equal("The call of deployment 'D' did not end within its timeout of 3 s.", timedOut.Message);
        Assert.Equal((1, 1L), (deployment.Served.Gate.Free, deployment.Handle.Counts.TimedOut));
    }

    [Fact]
    public async Task StreamAsync_TimeoutInTheQueue_IsATimeout()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = await BlocksAsync();
        await using IAsyncEnumerator<int> holds = deployment.Caller.StreamAsync(0, TestEnds).GetAsyncEnumerator(TestEnds);
        await holds.MoveNextAsync();
        await using IAsyncEnumerator<int> waits = deployment.Caller.StreamAsync(0, new CallOptions { Timeout = TimeSpan.FromSeconds(3) }, TestEnds).GetAsyncEnumerator(TestEnds);
        Task<bool> first = waits.MoveNextAsync().AsTask();

        deployment.Clock.Advance(TimeSpan.FromSeconds(3));

        await Assert.ThrowsAsync<TimeoutException>(() => first.WaitAsync(TestEnds));
        Assert.Equal((0, 1L), (deployment.Handle.Queued, deployment.Handle.Counts.TimedOut));
    }

    [Fact]
    public async Task StreamAsync_ReplicaMustStop_TheHandlerIsTold()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = new((_, _, token) => new(BlockAsync(token)));
        Replica replica = await deployment.AddAsync();
        await using IAsyncEnumerator<int> items = deployment.Caller.StreamAsync(0, TestEnds).GetAsyncEnumerator(TestEnds);
        await items.MoveNextAsync();
        Task<bool> second = items.MoveNextAsync().AsTask();

        await replica.CancelOngoingAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second.WaitAsync(TestEnds));
        Assert.Equal(1, deployment.Served.Gate.Free);
    }

    [Fact]
    public async Task StreamAsync_HandlerThrowsMidway_CountsAsFailed()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = new(static (_, _, _) => new(Throw()));
        await deployment.AddAsync();
        await using IAsyncEnumerator<int> items = deployment.Caller.StreamAsync(0, TestEnds).GetAsyncEnumerator(TestEnds);
        await items.MoveNextAsync();

        await Assert.ThrowsAsync<InvalidDataException>(async () => await items.MoveNextAsync());

        Assert.Equal((1, 1L), (deployment.Served.Gate.Free, deployment.Handle.Counts.Failed));

        static async IAsyncEnumerable<int> Throw()
        {
            yield return 1;
            await Task.Yield();
            throw new InvalidDataException();
        }
    }

    [Fact]
    public async Task StreamAsync_HandlerThrowsBeforeItReturnsAStream_CountsAsFailed()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = new(static (_, _, _) => throw new InvalidDataException());
        await deployment.AddAsync();
        await using IAsyncEnumerator<int> items = deployment.Caller.StreamAsync(0, TestEnds).GetAsyncEnumerator(TestEnds);

        await Assert.ThrowsAsync<InvalidDataException>(async () => await items.MoveNextAsync());

        Assert.Equal((1, 1L), (deployment.Served.Gate.Free, deployment.Handle.Counts.Failed));
    }

    [Fact]
    public async Task StreamAsync_WithAModel_TheHandlersBodyReadsIt()
    {
        TestDeployment<int, IAsyncEnumerable<string?>> deployment = new(static (_, _, _) => new(Read()));
        await deployment.AddAsync();
        List<string?> seen = [];

        await foreach (string? model in deployment.Caller.StreamAsync(0, new CallOptions { ModelId = "m" }, TestEnds))
        {
            seen.Add(model);
            seen.Add(CurrentRequest.ModelId);
        }

        Assert.Equal(["m", null, "m", null], seen);

        static async IAsyncEnumerable<string?> Read()
        {
            yield return CurrentRequest.ModelId;
            await Task.Yield();
            yield return CurrentRequest.ModelId;
        }
    }

    /// <summary>Its permit would be back before the work has begun.</summary>
    [Fact]
    public async Task CallAsync_OfAStream_IsRefusedWithWhatToDo()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = await CountsAsync();
        InvalidOperationException wrong = await Assert.ThrowsAsync<InvalidOperationException>(async () => await deployment.Caller.CallAsync(1, TestEnds));
        Assert.Contains("call it with StreamAsync", wrong.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await deployment.Caller.CallAsync(1, new CallOptions { ModelId = "m" }, TestEnds));
        await Assert.ThrowsAsync<InvalidOperationException>(() => deployment.Caller.BroadcastAsync(1, TestEnds));
        Assert.Equal(0, deployment.Handle.Counts.Arrived);
    }

    private static async Task<TestDeployment<int, IAsyncEnumerable<int>>> CountsAsync(int maxQueued = 10)
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = new(static (_, count, _) => new(Count(count)), maxQueued: maxQueued);
        await deployment.AddAsync();
        return deployment;
    }

    private static async Task<TestDeployment<int, IAsyncEnumerable<int>>> BlocksAsync()
    {
        TestDeployment<int, IAsyncEnumerable<int>> deployment = new(static (_, _, token) => new(BlockAsync(token)));
        await deployment.AddAsync();
        return deployment;
    }

    private static async IAsyncEnumerable<int> Count(int count)
    {
        for (int i = 0; i < count; i++)
        {
            await Task.Yield();
            yield return i;
        }
    }

    private static async IAsyncEnumerable<int> BlockAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        yield return 0;
        await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken);
    }
}
