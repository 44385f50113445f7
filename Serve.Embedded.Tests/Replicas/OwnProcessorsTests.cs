using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Replicas;

public sealed class OwnProcessorsTests
{
    [Theory]
    [InlineData(2, 2, 2, true)]
    [InlineData(64, 64, 64, true)]

    // One, of the machine's or of those it may run on.
    [InlineData(1, 1, 1, false)]

    // A quota. The runtime rounds it up.
    [InlineData(2, 4, 2, false)]
    [InlineData(2, 2, 1.5, false)]

    // DOTNET_PROCESSOR_COUNT.
    [InlineData(1, 2, 1, false)]
    [InlineData(8, 2, 8, false)]

    // Nobody knows.
    [InlineData(4, 0, 4, false)]
    public void AreToSpareOf_QuotaOrFewOrUnknown_AreNotToSpare(int used, int allowed, double time, bool expected) => Assert.Equal(expected, OwnProcessors.AreToSpareOf(used, allowed, time));
}
