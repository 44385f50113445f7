using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Telemetry;

/// <summary>What is kept to be read: exact under many threads, bounded whatever comes.</summary>
public sealed class MeasureTests : IDisposable
{
    private readonly TestTelemetry _test = new();

    private static CancellationToken Deadline => TestContext.Current.CancellationToken;

    public void Dispose() => _test.Dispose();

    [Fact]
    public async Task Histogram_ManyThreads_LosesNothing()
    {
        StripedHistogram histogram = new(HistogramBuckets.Sizes);
        bool wasEmpty = histogram.IsEmpty;

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(
            () =>
            {
                for (int i = 1; i <= 50_000; i++)
                {
                    histogram.Record(i % 3);
                }
            },
            Deadline)));

        (long count, double sum) = histogram.Read(new long[HistogramBuckets.Most]);
        Assert.True(wasEmpty);
        Assert.Equal((200_000L, 4 * Enumerable.Range(1, 50_000).Sum(i => i % 3)), (count, sum));
    }

    [Fact]
    public void HttpCounts_ClientsAndHandlersThatInvent_MakeNoMoreThanABoundedNumberOfPairs()
    {
        HttpCounts counts = new("app");
        for (int status = 200; status < 900; status++)
        {
            counts.Answered("GET", status, "/app", latency: null);
            counts.Answered($"X{status}", status, "/app", TimeSpan.FromMilliseconds(1));
        }

        HttpCount[] read = [.. counts.Read()];
        Assert.Equal(1_400, read.Sum(c => c.Requests));
        Assert.True(read.Length <= HttpCounts.MostCells + 9);
        Assert.Equal(read.Length, read.Select(c => (c.Method, c.Status)).Distinct().Count());
        Assert.Equal(["GET", "_OTHER"], read.Select(c => c.Method).Distinct());
        Assert.Contains(read, c => c is { Method: "_OTHER", Status: "5xx", IsError: true, Requests: 200 });
        Assert.Contains(read, c => c is { Method: "_OTHER", Status: "3xx", IsError: false });
    }

    [Fact]
    public void Deployments_ThatComeAndGo_LeaveNothing()
    {
        int before = Series();
        for (int i = 0; i < 1_000; i++)
        {
            TestDeployment<int, int> deployment = new((_, request, _) => new(request), telemetry: _test.Telemetry, application: $"app{i}");
            deployment.Served.Measures.Http.Answered("GET", 200, $"/app{i}", TimeSpan.Zero);
            deployment.Served.Dispose();
        }

        Assert.Equal(before, Series());

        int Series() => _test.Telemetry.Families.Sum(f => f switch { NumberFamily numbers => numbers.Read().Count(), HistogramFamily histograms => histograms.Read().Count(), _ => 0 });
    }

    [Fact]
    public async Task CallAsync_Timed_IsInBothHistograms()
    {
        TestDeployment<int, int> deployment = new((_, request, _) => new(request), telemetry: _test.Telemetry);
        await deployment.AddAsync();
        await deployment.Caller.CallAsync(1, Deadline);
        _test.Telemetry.StartTiming();

        await deployment.Caller.CallAsync(2, Deadline);
        await deployment.Caller.CallAsync(3, Deadline);

        Assert.Equal((2, 2), (deployment.Served.Measures.Waited.Count, deployment.Served.Measures.Worked.Count));
    }
}
