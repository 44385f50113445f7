using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Stress;

/// <summary>Batches over real threads: callers come and leave, handlers fail, sizes and waits change. <c>SERVE_STRESS_SEED</c> replays a failure as far as threads allow.</summary>
[Collection(nameof(Alone))]
public sealed class BatcherStressTests
{
    private const int Workers = 6;
    private const int CallsEach = 6_000;
    private const int MostAtOnce = 4;
    private const int MostInABatch = 12;
    private const int MostBatches = 2;

    public static TheoryData<int> Seeds() => Environment.GetEnvironmentVariable("SERVE_STRESS_SEED") is { } seed
        ? [int.Parse(seed, CultureInfo.InvariantCulture)]
        : [1, 2, 20261124];

    private static CancellationToken TestEnds => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Batcher_UnderStress_AnswersEveryCallerOnceAndKeepsItsBounds(int seed)
    {
        ManualTimeProvider clock = new();
        Handler handler = new(seed);
        DeploymentContext context = new("app", "D", "r", static () => 0, null, clock, NullLogger.Instance, new ReplicaHandles("app", new Dictionary<string, ServedDeployment>()))
        {
            MaxOngoingRequests = Workers * MostAtOnce,
            BatchControl = new(MostInABatch, TimeSpan.FromMilliseconds(3), MostBatches),
        };
        using Batcher<int, int> batcher = new(handler, size: null, context, CancellationToken.None);
        SeededRandom changes = new((ulong)seed + 77);
        Task callers = Task.WhenAll(Enumerable.Range(0, Workers).Select(w => Task.Run(() => CallAsync(batcher, w, seed), TestEnds)));
        while (!callers.IsCompleted)
        {
            clock.Advance(TimeSpan.FromMilliseconds(1));
            context.Batching.MaxBatchSize = 1 + changes.Next(MostInABatch);
            context.Batching.BatchWaitTimeout = TimeSpan.FromMilliseconds(changes.Next(4));
            await Task.Yield();
        }

        await callers;
        Assert.Equal((0, 0), (batcher.Waiting, handler.Running));
        Assert.InRange(batcher.Spare, 1, Workers * MostAtOnce);
        Assert.InRange(handler.MostRunning, 1, MostBatches);
        Assert.InRange(handler.Largest, 2, MostInABatch);
        Assert.Equal((0, 0), (handler.Repeated, handler.Mixed));
        Assert.Equal(0, clock.ArmedTimers);
    }

    private static async Task CallAsync(Batcher<int, int> batcher, int worker, int seed)
    {
        SeededRandom random = new(((ulong)seed * 1000) + (ulong)worker);
        int next = worker * CallsEach;
        int end = next + CallsEach;
        while (next < end)
        {
            int burst = Math.Min(1 + random.Next(MostAtOnce), end - next);
            using CancellationTokenSource leaves = new();
            List<(int Request, bool MayLeave, Task<int> Answer)> calls = [];
            for (int i = 0; i < burst; i++, next++)
            {
                bool mayLeave = random.Next(4) == 0;
                calls.Add((next, mayLeave, CallAsync(batcher, next, mayLeave ? leaves.Token : default)));
            }

            if (random.Next(2) == 0)
            {
                leaves.Cancel();
            }

            foreach ((int request, bool mayLeave, Task<int> answer) in calls)
            {
                try
                {
                    int got = await answer.WaitAsync(TestEnds);
                    Assert.Equal(~request, got);
                }
                catch (OperationCanceledException) when (mayLeave && leaves.IsCancellationRequested)
                {
                }
                catch (InvalidDataException)
                {
                }
                catch (InvalidOperationException wrong) when (wrong.Message.StartsWith("Batched function", StringComparison.Ordinal))
                {
                }
            }
        }
    }

    private static async Task<int> CallAsync(Batcher<int, int> batcher, int request, CancellationToken leaves)
    {
        new RequestScope(keepsContext: false) { ModelId = ModelOf(request) }.Join();
        return await batcher.HandleAsync(request, leaves);
    }

    /// <summary>Most name none.</summary>
    private static string? ModelOf(int request) => (request % 7) switch { 0 => "a", 1 => "b", _ => null };

    private sealed class Handler(int seed) : IBatchDeployment<int, int>
    {
        private readonly SeededRandom _random = new((ulong)seed);
        private readonly int[] _times = new int[Workers * CallsEach];
        private int _running;
        private int _mostRunning;
        private int _largest;
        private int _mixed;

        public int Running => Volatile.Read(ref _running);

        public int MostRunning => Volatile.Read(ref _mostRunning);

        public int Largest => Volatile.Read(ref _largest);

        /// <summary>Batches with requests of another model than the handler reads.</summary>
        public int Mixed => Volatile.Read(ref _mixed);

        public int Repeated => _times.Count(static t => t > 1);

        public async ValueTask<IReadOnlyList<int>> HandleBatchAsync(IReadOnlyList<int> batch, CancellationToken cancellationToken)
        {
            Raise(ref _mostRunning, Interlocked.Increment(ref _running));
            try
            {
                Raise(ref _largest, batch.Count);
                if (batch.Any(static r => ModelOf(r) != CurrentRequest.ModelId))
                {
                    Interlocked.Increment(ref _mixed);
                }

                foreach (int request in batch)
                {
                    Interlocked.Increment(ref _times[request]);
                }

                int dice = _random.Next(100);
                if (dice < 40)
                {
                    await Task.Yield();
                }

                return dice switch
                {
                    < 3 => throw new InvalidDataException(),
                    < 6 => [],
                    _ => [.. batch.Select(static r => ~r)],
                };
            }
            finally
            {
                Interlocked.Decrement(ref _running);
            }
        }

        private static void Raise(ref int most, int to)
        {
            int seen = Volatile.Read(ref most);
            while (seen < to && Interlocked.CompareExchange(ref most, to, seen) is int now && now != seen)
            {
                seen = now;
            }
        }
    }
}
