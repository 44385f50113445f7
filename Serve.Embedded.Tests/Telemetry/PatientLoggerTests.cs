using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Telemetry;

public sealed class PatientLoggerTests
{
    /// <summary>A timer tells what was left out: what comes out of that would be the end of the process.</summary>
    [Fact]
    public void RefusalLog_HostsLogThrows_TimePassesAllTheSame()
    {
        ManualTimeProvider time = new();
        using RefusalLog log = new(new Disposed(), "a", "d", time);
        for (int refusals = 0; refusals < 100; refusals++)
        {
            log.Write("full", static why => why);
        }

        time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal(0, time.ArmedTimers);
    }

    private sealed class Disposed : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            throw new ObjectDisposedException("the host's log");
    }
}
