using Serve.Embedded.Client;

namespace Serve.Embedded.Tests.Client;

public sealed class BackoffTests
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(0.1);
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(25.6);

    [Theory]
    [InlineData(1, 0, 0.0, 0.05)]
    [InlineData(1, 0, 0.5, 0.1)]
    [InlineData(3, 0, 0.5, 1.6)]
    [InlineData(5, 0, 0.5, 25.6)]
    [InlineData(20, 0, 0.5, 25.6)]
    [InlineData(1, 1, 0.0, 1.0)]
    [InlineData(1, 1, 0.5, 1.25)]
    [InlineData(4, 4, 0.0, 4.0)]
    [InlineData(4, 4, 0.5, 6.8)]
    public void Wait_IsTheBackoffSpreadAndNeverLessThanAsked(int retry, double asked, double draw, double seconds) =>
        Assert.Equal(seconds, Backoff.Wait(retry, First, Most, TimeSpan.FromSeconds(asked), draw).TotalSeconds, 6);

    [Fact]
    public void Wait_ManyWhoWereToldTheSameSecond_ComeSpreadOverHalfASecond()
    {
        Random random = new(1);
        double[] waits = [.. Enumerable.Range(0, 1000).Select(_ => Backoff.Wait(1, First, Most, TimeSpan.FromSeconds(1), random.NextDouble()).TotalSeconds)];

        Assert.All(waits, static w => Assert.InRange(w, 1, 1.5));
        for (double from = 1; from < 1.49; from += 0.1)
        {
            Assert.InRange(waits.Count(w => w >= from && w < from + 0.1), 120, 280);
        }
    }
}
