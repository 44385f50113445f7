using System.Globalization;
using Serve.Embedded.Client;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Stress;

/// <summary>The budget over real threads: however requests, retries and time fall together, there are never more retries than it allows. <c>SERVE_STRESS_SEED</c> replays a failure as far as threads allow.</summary>
[Collection(nameof(Alone))]
public sealed class RetryBudgetStressTests
{
    private const int Threads = 4;
    private const int StepsEach = 50_000;
    private const double Ratio = 0.2;
    private const double PerSecond = 5000;
    private const double Burst = 10;

    public static TheoryData<int> Seeds() => Environment.GetEnvironmentVariable("SERVE_STRESS_SEED") is { } seed
        ? [int.Parse(seed, CultureInfo.InvariantCulture)]
        : [1, 2, 20261124];

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Budget_UnderStress_AllowsWhatItSaysAndNotOneMore(int seed)
    {
        ManualTimeProvider time = new();
        RetryBudget budget = new(Ratio, PerSecond, Burst, time);

        (double allowed, long given) = await RunAsync(seed, time, budget.Deposit, budget.TryWithdraw);

        Assert.True(given <= allowed, $"{given} retries where {allowed} are allowed.");

        // Everybody asks all the time, so that next to nothing fades.
        Assert.True(given >= allowed * 0.95, $"{given} retries where {allowed} are allowed.");
    }

    /// <summary>What a budget would be whose counts are exact but which is filled without a lock. If this is not found out, neither would a real mistake be.</summary>
    [Fact]
    public async Task Budget_ThatTwoMayFillFromTheSameTime_IsFoundOut()
    {
        ManualTimeProvider time = new();
        RacingBudget budget = new(time);

        (double allowed, long given) = await RunAsync(1, time, budget.Deposit, budget.TryWithdraw);

        Assert.True(given > allowed, $"{given} retries where {allowed} are allowed.");
    }

    private static async Task<(double Allowed, long Given)> RunAsync(int seed, ManualTimeProvider time, Action deposit, Func<bool> tryWithdraw)
    {
        DateTimeOffset start = time.GetUtcNow();
        long requests = 0;
        long given = 0;
        using Barrier together = new(Threads);
        Task[] callers = [.. Enumerable.Range(0, Threads).Select(thread => Task.Factory.StartNew(
            () =>
            {
                SeededRandom random = new(((ulong)seed * 1000) + (ulong)thread);
                together.SignalAndWait(TestContext.Current.CancellationToken);
                for (int i = 0; i < StepsEach; i++)
                {
                    if (thread == 0)
                    {
                        // Time goes on only while somebody asks.
                        time.Advance(TimeSpan.FromTicks(random.Next(1_000)));
                    }

                    if (random.Next(3) == 0)
                    {
                        Interlocked.Increment(ref requests);
                        deposit();
                    }
                    else if (tryWithdraw())
                    {
                        Interlocked.Increment(ref given);
                    }
                }
            },
            TestContext.Current.CancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default))];
        await Task.WhenAll(callers);
        return (Burst + (Ratio * requests) + (PerSecond * (time.GetUtcNow() - start).TotalSeconds) + 1e-6, given);
    }

    private sealed class RacingBudget(ManualTimeProvider time)
    {
        private const long Token = 1_000_000;

        private long _tokens = (long)(Burst * Token);
        private long _filledAt = time.GetTimestamp();

        public void Deposit() => Interlocked.Add(ref _tokens, (long)(Ratio * Token));

        public bool TryWithdraw()
        {
            long filledAt = Volatile.Read(ref _filledAt);
            long now = time.GetTimestamp();

            // Where the mistake would show once in a while, it shows as often as another thread is about.
            Thread.Yield();
            Interlocked.Add(ref _tokens, (long)((now - filledAt) * PerSecond * Token / time.TimestampFrequency));
            Volatile.Write(ref _filledAt, now);
            if (Interlocked.Add(ref _tokens, -Token) >= 0)
            {
                return true;
            }

            Interlocked.Add(ref _tokens, Token);
            return false;
        }
    }
}
