using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Xunit;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class RefusalLogTests : IDisposable
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly ManualTimeProvider _clock = new();
    private readonly FakeLogger _logger = new();
    private readonly RefusalLog _log;

    public RefusalLogTests() => _log = new RefusalLog(_logger, "app", "Slow", _clock);

    public void Dispose() => _log.Dispose();

    [Fact]
    public void Write_WithinTheBurst_LogsEachInItsWords()
    {
        Refuse(10);

        Assert.Equal(10, Written());
        Assert.Equal("refused", _logger.Collector.LatestRecord.Message);
        Assert.Equal(LogLevel.Warning, _logger.Collector.LatestRecord.Level);
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public void Write_BeyondTheBurst_CountsAndReportsAfterASecond()
    {
        Refuse(47);
        Assert.Equal(10, Written());
        Assert.Equal(1, _clock.ArmedTimers);

        _clock.Advance(Second);

        Assert.Equal(
            "37 more refusals by deployment 'Slow' in application 'app' were not logged in the last 1.0 s",
            _logger.Collector.LatestRecord.Message);
        Assert.Equal(37, LeftOut());
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public void Write_FloodThatGoesOn_LogsTenASecondAndOneReport()
    {
        Refuse(10);
        for (int i = 0; i < 10_000; i++)
        {
            Refuse(5);
            _clock.Advance(TimeSpan.FromMilliseconds(1));
        }

        _clock.Advance(Second);
        Assert.InRange(Written(), 10 + 99, 10 + 101);
        Assert.InRange(Reports(), 9, 11);
        Assert.Equal(50_010, Written() + LeftOut());
    }

    [Fact]
    public void Write_AfterAPause_HasItsBurstAgain()
    {
        Refuse(20);
        _clock.Advance(10 * Second);
        _logger.Collector.Clear();

        Refuse(11);

        Assert.Equal(10, Written());
    }

    [Fact]
    public void Dispose_CountPending_IsReported()
    {
        Refuse(15);

        _log.Dispose();
        _log.Dispose();

        Assert.Equal(5, LeftOut());
        Assert.Equal(1, Reports());
        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Fact]
    public void Write_AfterDispose_IsStillCountedExactly()
    {
        _log.Dispose();

        Refuse(13);

        Assert.Equal(13, Written() + LeftOut());
    }

    [Fact]
    public void Write_Suppressed_DescribesNothingAndAllocatesNothing()
    {
        Refuse(100);
        Func<RefusalLogTests, string> describe = static _ => throw new InvalidOperationException("described");

        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                _log.Write(this, describe);
            }
        }));
    }

    [Fact]
    public void Write_WarningsOff_NeitherLogsNorCounts()
    {
        _logger.ControlLevel(LogLevel.Warning, false);

        Refuse(100);

        Assert.Equal(0, _clock.ArmedTimers);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(20261123)]
    public async Task Write_ConcurrentlyWhileTimePasses_LoggedAndLeftOutAreAllRefusals(int seed)
    {
        const int Threads = 4;
        const int Each = 300_000;
        int running = Threads;
        Task[] floods = [.. Enumerable.Range(0, Threads).Select(_ => Task.Factory.StartNew(
            () =>
            {
                Refuse(Each);
                Interlocked.Decrement(ref running);
            },
            TestContext.Current.CancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default))];
        Random random = new(seed);
        while (Volatile.Read(ref running) > 0)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(random.Next(0, 700)));
            Thread.Yield();
        }

        await Task.WhenAll(floods);
        _clock.Advance(Second);

        Assert.Equal(Threads * Each, Written() + LeftOut());
        Assert.Equal(0, _clock.ArmedTimers);
    }

    private void Refuse(int times)
    {
        for (int i = 0; i < times; i++)
        {
            _log.Write("refused", static words => words);
        }
    }

    private int Written() => _logger.Collector.GetSnapshot().Count(record => record.Id == EventIds.RequestRefused);

    private int Reports() => _logger.Collector.GetSnapshot().Count(record => record.Id == EventIds.RefusalsLeftOut);

    private long LeftOut() => _logger.Collector.GetSnapshot()
        .Where(record => record.Id == EventIds.RefusalsLeftOut)
        .Sum(record => long.Parse(record.GetStructuredStateValue("Count")!));
}
