using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Replicas;

public sealed class PatienceTests
{
    private static readonly long Millisecond = TimeProvider.System.TimestampFrequency / 1000;

    [Theory]
    [InlineData("", false)]
    [InlineData("sssss", false)]
    [InlineData("ssssss", true)]
    [InlineData("ssssssss", true)]
    [InlineData("ssssssssl", true)]
    [InlineData("ssssssssll", true)]
    [InlineData("sssssssslll", false)]
    [InlineData("sslsslss", true)]

    // A request that comes alone: its worker answers soon, and the next one comes late.
    [InlineData("slslslslslslslsl", false)]
    [InlineData("llllllllllssssss", true)]
    public void ExpectsSoon_AfterShortAndLongWaits_IsWhenNearlyAllWereShort(string waits, bool expected)
    {
        Patience patience = default;
        long now = 0;
        foreach (char wait in waits)
        {
            long end = now + (wait == 's' ? Patience.Longest : Patience.Longest + 1);
            patience.HasWaited(now, end);
            now = end;
        }

        Assert.Equal(expected, patience.ExpectsSoon(now));
    }

    [Fact]
    public void HasLooked_ProcessorWasWithAnother_PausesForAWhile()
    {
        Patience patience = default;
        for (int i = 0; i < 8; i++)
        {
            patience.HasWaited(0, 1);
        }

        patience.HasLooked(0, Millisecond);
        Assert.True(patience.ExpectsSoon(Millisecond));

        patience.HasLooked(0, Millisecond + 1);
        Assert.False(patience.ExpectsSoon(Millisecond + 1));
        Assert.False(patience.ExpectsSoon(200 * Millisecond));
        Assert.True(patience.ExpectsSoon((201 * Millisecond) + 1));
    }
}
