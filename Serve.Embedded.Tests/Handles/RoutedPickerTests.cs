using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Guards;

namespace Serve.Embedded.Tests.Handles;

public sealed class RoutedPickerTests
{
    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    private static readonly CallOptions ModelM = new() { ModelId = "m" };

    /// <summary>Ten requests with one id go to one replica.</summary>
    [Fact]
    [ContractRow(43)]
    public async Task Model_TenRequests_GoToTheReplicaThatHasIt()
    {
        Models models = new();
        TestDeployment<int, string> deployment = await models.DeployAsync(limit: 2);

        HashSet<string> replicas = [];
        for (int i = 0; i < 10; i++)
        {
            replicas.Add(await deployment.Caller.CallAsync(0, ModelM, TestEnds));
        }

        Assert.Single(replicas);
        Assert.Equal(1, models.Loads);
    }

    /// <summary>With that replica saturated, another loads it; nobody waits while a permit is free.</summary>
    [Fact]
    [ContractRow(43)]
    public async Task Model_ItsReplicaIsFull_AnotherLoadsItToo()
    {
        Models models = new();
        TestDeployment<int, string> deployment = await models.DeployAsync(limit: 1);
        string first = await deployment.Caller.CallAsync(0, ModelM, TestEnds);
        TaskCompletionSource hold = models.HoldNext();
        Task<string> holds = deployment.Caller.CallAsync(0, ModelM, TestEnds).AsTask();

        string second = await deployment.Caller.CallAsync(0, ModelM, TestEnds);

        hold.SetResult();
        Assert.Equal(first, await holds.WaitAsync(TestEnds));
        Assert.NotEqual(first, second);
        Assert.Equal(2, models.Loads);
    }

    [Fact]
    public async Task Model_NobodyHasIt_TheReplicaWithTheFewestModelsLoadsIt()
    {
        Models models = new();
        TestDeployment<int, string> deployment = await models.DeployAsync(limit: 5);
        List<string> replicas = [];
        for (int i = 0; i < 6; i++)
        {
            replicas.Add(await deployment.Caller.CallAsync(0, new CallOptions { ModelId = $"m{i}" }, TestEnds));
        }

        Assert.All(replicas.CountBy(static r => r), static pair => Assert.Equal(2, pair.Value));
    }

    /// <summary>The drain that grants the first waiter is held up until two replicas have a permit: only then is there a choice for the second.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Session_WhoWaits_GoesToItsReplicaWhenSeveralAreFree(int home)
    {
        Action? meanwhile = null;
        ServeEnvironment environment = new(
            new Fakes.ManualTimeProvider(), new SeededRandom(1), _ => Interlocked.Exchange(ref meanwhile, null)?.Invoke(), Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);
        AdmissionGate gate = new(environment);
        Replica[] replicas = [.. Enumerable.Range(0, 3).Select(i => TestGate.NewReplica($"r{i}", environment.Time))];
        foreach (Replica replica in replicas)
        {
            gate.AddReplica(replica, 0);
        }

        string session = Enumerable.Range(0, 1000).Select(static i => $"s{i}").First(s => RoutedPicker.Next(replicas, s, ulong.MaxValue, out _) == replicas[home]);
        Handle handle = gate.AddHandle(10);
        Waiter first = gate.Admit(handle).Waiter!;
        Waiter second = gate.Admit(handle, new(null, session, null)).Waiter!;
        meanwhile = () =>
        {
            gate.Resize(replicas[1], 1);
            gate.Resize(replicas[2], 1);
        };

        gate.Resize(replicas[0], 1);

        Assert.Same(replicas[0], first.Lease.Replica);
        Assert.Same(replicas[home], second.Lease.Replica);
    }

    [Fact]
    public async Task Session_GoesToOneReplica_SpillsToTheSameSecond()
    {
        TaskCompletionSource<string> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<bool, string> deployment = new(async (replica, holds, _) =>
        {
            if (holds)
            {
                await ends.Task;
            }

            return replica;
        });
        for (int i = 0; i < 5; i++)
        {
            await deployment.AddAsync($"r{i}");
        }

        CallOptions session = new() { SessionId = "anna" };
        string home = await deployment.Caller.CallAsync(false, session, TestEnds);
        Assert.Equal(home, await deployment.Caller.CallAsync(false, session, TestEnds));

        Task<string> holds = deployment.Caller.CallAsync(true, session, TestEnds).AsTask();
        string second = await deployment.Caller.CallAsync(false, session, TestEnds);
        Assert.NotEqual(home, second);
        Assert.Equal(second, await deployment.Caller.CallAsync(false, session, TestEnds));
        ends.SetResult("");
        Assert.Equal(home, await holds.WaitAsync(TestEnds));
    }

    /// <summary>Consistent: a replica that goes moves its own sessions and no others, and they spread over all that stay.</summary>
    [Fact]
    public void Session_AReplicaGoes_OnlyItsSessionsMove()
    {
        TestGate gate = new();
        Replica[] replicas = [.. Enumerable.Range(0, 10).Select(_ => gate.NewReplica())];
        Replica[] fewer = replicas[1..];
        Dictionary<string, int> moved = [];
        int[] homes = new int[10];
        for (int i = 0; i < 5000; i++)
        {
            Replica home = RoutedPicker.Next(replicas, $"session-{i}", ulong.MaxValue, out _)!;
            Replica then = RoutedPicker.Next(fewer, $"session-{i}", ulong.MaxValue, out _)!;
            homes[Array.IndexOf(replicas, home)]++;
            if (home == replicas[0])
            {
                moved[then.Id] = moved.GetValueOrDefault(then.Id) + 1;
            }
            else
            {
                Assert.Same(home, then);
            }
        }

        Assert.All(homes, static count => Assert.InRange(count, 400, 600));
        Assert.Equal(9, moved.Count);
    }

    [Fact]
    public async Task Router_Ranks_TheFirstFreeOneIsTaken()
    {
        LastFirst router = new();
        TaskCompletionSource<string> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<string, string> deployment = new(
            async (replica, request, _) =>
            {
                if (request == "hold")
                {
                    await ends.Task;
                }

                return replica;
            },
            router: router);
        for (int i = 0; i < 3; i++)
        {
            await deployment.AddAsync($"r{i}");
        }

        Assert.Equal("r2", await deployment.Caller.CallAsync("a", new CallOptions { ModelId = "m", SessionId = "s" }, TestEnds));
        Assert.Equal(("a", "m", "s"), (router.Last.Request, router.Last.ModelId, router.Last.SessionId));
        Assert.Equal([("r0", 0, 1), ("r1", 0, 1), ("r2", 0, 1)], router.Seen);

        Task<string> holds = deployment.Caller.CallAsync("hold", TestEnds).AsTask();
        Assert.Equal("r1", await deployment.Caller.CallAsync("b", TestEnds));
        Assert.Equal([("r0", 0, 1), ("r1", 0, 1), ("r2", 1, 1)], router.Seen);
        ends.SetResult("");
        Assert.Equal("r2", await holds.WaitAsync(TestEnds));
    }

    /// <summary>A ranking is an order, not a limit.</summary>
    [Fact]
    public async Task Router_RanksNobodyWhoIsFree_AnotherIsTakenBeforeAnybodyWaits()
    {
        TaskCompletionSource<string> ends = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TestDeployment<int, string> deployment = new((replica, n, _) => n == 0 ? new(ends.Task) : new(replica), router: new OnlyFirst());
        await deployment.AddAsync();
        await deployment.AddAsync("r1");
        Task<string> holds = deployment.Caller.CallAsync(0, TestEnds).AsTask();

        Assert.Equal("r1", await deployment.Caller.CallAsync(1, TestEnds));
        ends.SetResult("");
        await holds;
    }

    [Theory]
    [InlineData(3, 0)]
    [InlineData(-1, 0)]
    [InlineData(1, 2)]
    [InlineData(1, -1)]
    public async Task Router_RanksWhatIsNotThere_FailsTheCallAndTakesNoPermit(int count, int place)
    {
        TestDeployment<int, int> deployment = new(static (_, n, _) => new(n), router: new Wrong(count, place));
        await deployment.AddAsync();
        await deployment.AddAsync("r1");
        InvalidOperationException wrong = await Assert.ThrowsAsync<InvalidOperationException>(async () => await deployment.Caller.CallAsync(1, TestEnds));
        Assert.StartsWith("The router of deployment 'D' of application 'app', Wrong, ranked", wrong.Message, StringComparison.Ordinal);
        Assert.Equal((2, 0L), (deployment.Served.Gate.Free, deployment.Handle.Counts.Arrived));
    }

    private sealed class LastFirst : IRequestRouter
    {
        public RoutedRequest Last { get; private set; }

        public (string, int, int)[] Seen { get; private set; } = [];

        public int Rank(in RoutedRequest request, ReadOnlySpan<ReplicaView> replicas, Span<int> ranking)
        {
            Last = request;
            Seen = [.. replicas.ToArray().Select(static r => (r.Id, r.OngoingRequests, r.MaxOngoingRequests))];
            for (int i = 0; i < replicas.Length; i++)
            {
                ranking[i] = replicas.Length - 1 - i;
            }

            return replicas.Length;
        }
    }

    private sealed class OnlyFirst : IRequestRouter
    {
        public int Rank(in RoutedRequest request, ReadOnlySpan<ReplicaView> replicas, Span<int> ranking) => 1;
    }

    private sealed class Wrong(int count, int place) : IRequestRouter
    {
        public int Rank(in RoutedRequest request, ReadOnlySpan<ReplicaView> replicas, Span<int> ranking)
        {
            ranking[0] = place;
            return count;
        }
    }

    /// <summary>A deployment whose replicas load the model that a request asks for.</summary>
    private sealed class Models
    {
        private readonly Dictionary<string, MultiplexedModels<string>> _models = [];
        private TaskCompletionSource? _hold;
        private int _loads;

        public int Loads => Volatile.Read(ref _loads);

        public TaskCompletionSource HoldNext() => _hold = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task<TestDeployment<int, string>> DeployAsync(int limit, int replicas = 3)
        {
            TestDeployment<int, string> deployment = new(
                async (replica, _, token) =>
                {
                    Task? hold = Interlocked.Exchange(ref _hold, null)?.Task;
                    using ModelLease<string> model = await _models[replica].GetAsync(CurrentRequest.ModelId!, token);
                    if (hold is not null)
                    {
                        await hold;
                    }

                    return replica;
                },
                limit);
            for (int i = 0; i < replicas; i++)
            {
                Replica replica = await deployment.AddAsync($"r{i}");
                MultiplexedModels<string> models = new(
                    (id, _) =>
                    {
                        Interlocked.Increment(ref _loads);
                        return new(id);
                    },
                    3);
                replica.Models.Add(models);
                _models[replica.Id] = models;
            }

            return deployment;
        }
    }
}
