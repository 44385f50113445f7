using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Handles;

/// <summary>What a call asks for beside its request, and what flows down with it.</summary>
public sealed class HandleOptionsTests
{
    private static readonly CallOptions ThreeSeconds = new() { Timeout = TimeSpan.FromSeconds(3) };

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Timeout_HandlerHeedsItsToken_CallerGetsATimeout()
    {
        TestDeployment<int, int> deployment = new(static async (_, _, token) =>
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, token);
            return 0;
        });
        await deployment.AddAsync();
        Task<int> call = deployment.Caller.CallAsync(1, ThreeSeconds, TestEnds).AsTask();
        deployment.Clock.Advance(TimeSpan.FromSeconds(2.9));
        Assert.False(call.IsCompleted);

        deployment.Clock.Advance(TimeSpan.FromSeconds(0.1));

        TimeoutException timedOut = await Assert.ThrowsAsync<TimeoutException>(() => call.WaitAsync(TestEnds));
        Assert.Equal("The call of deployment 'D' did not end within its timeout of 3 s.", timedOut.Message);
        await UntilAsync(() => deployment.Served.Gate.Free == 1);
        Assert.Equal((1L, 0L), (deployment.Handle.Counts.TimedOut, deployment.Handle.Counts.Failed));
    }

    [Fact]
    public async Task Timeout_HandlerIgnoresItsToken_CallerGoesAndThePermitStays()
    {
        TaskCompletionSource<int> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<int, int> deployment = new((_, _, _) => new(ends.Task));
        await deployment.AddAsync();
        Task<int> call = deployment.Caller.CallAsync(1, ThreeSeconds, TestEnds).AsTask();

        deployment.Clock.Advance(TimeSpan.FromSeconds(3));

        await Assert.ThrowsAsync<TimeoutException>(() => call.WaitAsync(TestEnds));
        Assert.Equal(0, deployment.Served.Gate.Free);
        ends.SetResult(1);
        await UntilAsync(() => deployment.Served.Gate.Free == 1);
    }

    [Fact]
    public async Task Timeout_InTheQueue_FreesItsPlaceAndNeverRuns()
    {
        TaskCompletionSource<int> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        int calls = 0;
        TestDeployment<int, int> deployment = new((_, _, _) =>
        {
            Interlocked.Increment(ref calls);
            return new(ends.Task);
        });
        await deployment.AddAsync();
        Task<int> runs = deployment.Caller.CallAsync(1, TestEnds).AsTask();
        Task<int> waits = deployment.Caller.CallAsync(2, ThreeSeconds, TestEnds).AsTask();
        Assert.Equal(1, deployment.Handle.Queued);

        deployment.Clock.Advance(TimeSpan.FromSeconds(3));

        await Assert.ThrowsAsync<TimeoutException>(() => waits.WaitAsync(TestEnds));
        Assert.Equal((0, 1L), (deployment.Handle.Queued, deployment.Handle.Counts.TimedOut));
        ends.SetResult(7);
        Assert.Equal(7, await runs.WaitAsync(TestEnds));
        Assert.Equal(1, calls);
    }

    [Fact]
    public async Task Timeout_CallerLeavesFirst_IsACancellation()
    {
        TestDeployment<int, int> deployment = new(static async (_, _, token) =>
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, token);
            return 0;
        });
        await deployment.AddAsync();
        using CancellationTokenSource leaves = new();
        Task<int> call = deployment.Caller.CallAsync(1, ThreeSeconds, leaves.Token).AsTask();

        await leaves.CancelAsync();

        OperationCanceledException left = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(TestEnds));
        Assert.Equal(leaves.Token, left.CancellationToken);
        await UntilAsync(() => deployment.Served.Gate.Free == 1);
        Assert.Equal((0L, 1L), (deployment.Handle.Counts.TimedOut, deployment.Handle.Counts.Cancelled));
    }

    [Fact]
    public async Task Timeout_AnsweredInTime_LeavesNoTimer()
    {
        TestDeployment<int, int> deployment = new(static (_, n, _) => new(n + 1));
        await deployment.AddAsync();
        Assert.Equal(2, await deployment.Caller.CallAsync(1, ThreeSeconds, TestEnds));
        Assert.Equal(0, deployment.Clock.ArmedTimers);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(25 * 86_400)]
    public async Task Timeout_ThatCannotBe_IsRefused(int seconds)
    {
        TestDeployment<int, int> deployment = new(static (_, n, _) => new(n));
        await deployment.AddAsync();
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await deployment.Caller.CallAsync(1, new CallOptions { Timeout = TimeSpan.FromSeconds(seconds) }, TestEnds));
        Assert.Equal(0, deployment.Handle.Counts.Arrived);
    }

    [Fact]
    public async Task ModelAndSession_TheHandlerReadsItsOwn_TheCallerKeepsIts()
    {
        TestDeployment<int, string> deployment = new(static async (_, _, _) =>
        {
            string before = $"{CurrentRequest.ModelId} {CurrentRequest.SessionId}";
            await Task.Yield();
            return $"{before}, {CurrentRequest.ModelId} {CurrentRequest.SessionId}";
        });
        await deployment.AddAsync();

        Assert.Equal("m s, m s", await deployment.Caller.CallAsync(1, new CallOptions { ModelId = "m", SessionId = "s" }, TestEnds));
        Assert.Null(CurrentRequest.ModelId);
        Assert.Equal(" , ", (await deployment.Caller.CallAsync(1, TestEnds)).Replace("  ", " ", StringComparison.Ordinal));
    }

    /// <summary>As in Ray Serve: a call's model and session are those of its options, and never those of the request that its caller works for.</summary>
    [Fact]
    public async Task ModelAndSession_OfTheCallersRequest_AreNotTheCallees()
    {
        const string None = "none none";
        TestDeployment<int, string> child = new(static (_, _, _) => new(Read()));
        TestDeployment<int, IAsyncEnumerable<string>> streams = new(static (_, _, _) => new(ReadAll()));
        List<string> seen = [];
        TestDeployment<int, string> parent = new(async (_, _, token) =>
        {
            seen.Add(await child.Caller.CallAsync(1, token));
            seen.Add(await child.Caller.CallAsync(1, ThreeSeconds, token));
            seen.Add(await child.Caller.CallAsync(1, new CallOptions { SessionId = "other" }, token));
            seen.Add(await child.Caller.CallAsync(1, new CallOptions { ModelId = CurrentRequest.ModelId }, token));
            seen.AddRange(await child.Caller.BroadcastAsync(1, token));
            await foreach (string item in streams.Caller.StreamAsync(1, token))
            {
                seen.Add(item);
            }

            return Read();
        });
        await child.AddAsync();
        await streams.AddAsync();
        await parent.AddAsync();

        foreach (CallOptions options in (CallOptions[])[new() { ModelId = "m" }, new() { SessionId = "s" }])
        {
            seen.Clear();
            Assert.Equal($"{options.ModelId ?? "none"} {options.SessionId ?? "none"}", await parent.Caller.CallAsync(1, options, TestEnds));
            Assert.Equal([None, None, "none other", $"{options.ModelId ?? "none"} none", None, None, None], seen);
        }

        static string Read() => $"{CurrentRequest.ModelId ?? "none"} {CurrentRequest.SessionId ?? "none"}";

        static async IAsyncEnumerable<string> ReadAll()
        {
            yield return Read();
            await Task.Yield();
            yield return Read();
        }
    }

    /// <summary>What a call loses of its caller's request is its place, and nothing else.</summary>
    [Fact]
    public async Task RequestId_OfACallWithoutItsCallersModel_IsTheCallers()
    {
        TestDeployment<int, string?> child = new(static (_, _, _) => new(CurrentRequest.Id));
        await child.AddAsync();
        RequestScope request = new() { RequestId = "id", ModelId = "m" };
        request.Enter();

        Assert.Equal("id", await child.Caller.CallAsync(1, TestEnds));
        Assert.Equal("m", CurrentRequest.ModelId);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ReplicaMustStop_TheHandlerIsTold(bool callerMayLeave)
    {
        TestDeployment<int, int> deployment = new(static async (_, _, token) =>
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, token);
            return 0;
        });
        Replica replica = await deployment.AddAsync();
        using CancellationTokenSource mayLeave = new();
        Task<int> call = deployment.Caller.CallAsync(1, callerMayLeave ? mayLeave.Token : CancellationToken.None).AsTask();

        await replica.CancelOngoingAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(TestEnds));
        Assert.Equal(1, deployment.Handle.Counts.Failed);
    }

    /// <summary>A source that served one call must not carry anything into the next.</summary>
    [Fact]
    public async Task Cancel_OneOfTwoCalls_TheOtherAndLaterOnesAreUnharmed()
    {
        TestDeployment<int, int> deployment = new(
            static async (_, n, token) =>
            {
                await Task.Delay(n == 0 ? Timeout.InfiniteTimeSpan : TimeSpan.Zero, TimeProvider.System, token);
                token.ThrowIfCancellationRequested();
                return n;
            },
            limit: 2);
        await deployment.AddAsync();
        for (int round = 0; round < 50; round++)
        {
            using CancellationTokenSource leaves = new();
            using CancellationTokenSource stays = new();
            Task<int> left = deployment.Caller.CallAsync(0, leaves.Token).AsTask();
            Task<int> stayed = deployment.Caller.CallAsync(1, stays.Token).AsTask();
            await leaves.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left.WaitAsync(TestEnds));
            Assert.Equal(1, await stayed.WaitAsync(TestEnds));
        }
    }

    [Fact]
    public async Task Call_WithATokenThatMayBeCancelled_AllocatesNothing()
    {
        TestDeployment<int, int> deployment = new(static (_, n, _) => new(n + 1));
        await deployment.AddAsync();
        using CancellationTokenSource source = new();
        CancellationToken token = source.Token;

        Assert.Equal(0, Fakes.Allocations.Of(() =>
        {
            for (int i = 0; i < 10_000; i++)
            {
                ValueTask<int> answer = deployment.Caller.CallAsync(i, token);
                if (!answer.IsCompletedSuccessfully || answer.Result != i + 1)
                {
                    Assert.Fail("The call did not complete at once.");
                }
            }
        }));
    }

    [Fact]
    [ContractRow(50)]
    public async Task Broadcast_EveryReplicaOnce_AlsoThoseThatAreFull()
    {
        TaskCompletionSource<string> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<string, string> deployment = new((replica, request, _) => request == "hold" ? new(ends.Task) : new($"{request} {replica}"));
        foreach (string id in (string[])["r0", "r1", "r2"])
        {
            await deployment.AddAsync(id);
        }

        Task<string>[] holds = [.. Enumerable.Range(0, 3).Select(_ => deployment.Caller.CallAsync("hold", TestEnds).AsTask())];
        Assert.Equal(0, deployment.Served.Gate.Free);

        IReadOnlyList<string> answers = await deployment.Caller.BroadcastAsync("drop", TestEnds);

        Assert.Equal(["drop r0", "drop r1", "drop r2"], answers.Order(StringComparer.Ordinal));
        Assert.Equal(3, deployment.Served.Gate.Replicas.Sum(static r => r.Permits.Ongoing));
        ends.SetResult("");
        await Task.WhenAll(holds);
    }

    [Fact]
    public async Task Broadcast_OneThrows_AllHaveEndedFirst()
    {
        TaskCompletionSource<string> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<string, string> deployment = new((replica, _, _) => replica == "r0" ? throw new InvalidDataException("r0") : new(ends.Task));
        await deployment.AddAsync();
        await deployment.AddAsync("r1");

        Task<IReadOnlyList<string>> broadcast = deployment.Caller.BroadcastAsync("", TestEnds);

        Assert.False(broadcast.IsCompleted);
        ends.SetResult("");
        await Assert.ThrowsAsync<InvalidDataException>(() => broadcast.WaitAsync(TestEnds));
    }

    [Fact]
    public async Task Broadcast_AReplicaThatStops_WaitsForItAndTakesNoOther()
    {
        TaskCompletionSource<string> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<string, string> deployment = new((_, _, _) => new(ends.Task));
        Replica replica = await deployment.AddAsync();
        Task<IReadOnlyList<string>> broadcast = deployment.Caller.BroadcastAsync("", TestEnds);
        deployment.Served.Gate.Resize(replica, 0);

        Task idle = replica.WhenIdle();

        Assert.False(idle.IsCompleted);
        Assert.Empty(await deployment.Caller.BroadcastAsync("", TestEnds));
        ends.SetResult("x");
        await idle.WaitAsync(TestEnds);
        Assert.Equal(["x"], await broadcast);
    }

    [Fact]
    public async Task Broadcast_NoReplica_IsHeardByNobody()
    {
        TestDeployment<string, string> deployment = new(static (_, _, _) => new(""));
        Assert.Empty(await deployment.Caller.BroadcastAsync("", TestEnds));
        deployment.Served.Gate.RemoveHandle(deployment.Handle);
        await Assert.ThrowsAsync<DeploymentUnavailableException>(() => deployment.Caller.BroadcastAsync("", TestEnds));
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            TestEnds.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
