using Serve.Embedded.Handles;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Handles;

public sealed class CallTimeTests
{
    /// <summary>A timer's thread has nobody above it: what comes out here would be the end of the process.</summary>
    [Fact]
    public void Timeout_HandlerHasRegisteredWhatThrows_TimePassesAllTheSame()
    {
        ManualTimeProvider time = new();
        using CallTime call = new(TimeSpan.FromSeconds(1), "D", time, CancellationToken.None);
        call.Token.Register(static () => throw new InvalidOperationException("no luck"));

        time.Advance(TimeSpan.FromSeconds(1));

        Assert.True(call.IsOver);
        Assert.True(call.Token.IsCancellationRequested);
    }
}
