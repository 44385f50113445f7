using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// A log for what runs on threads that have nobody above them: timers and the thread pool. A host's log may throw, as when it was disposed of before what it is told by, and that would be the end of the process there.
/// </summary>
internal sealed class PatientLogger(ILogger logger) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => logger.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return logger.IsEnabled(logLevel);
        }
#pragma warning disable CA1031 // Whatever it is, there is nobody to tell.
        catch (Exception)
#pragma warning restore CA1031
        {
            return false;
        }
    }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        try
        {
            logger.Log(logLevel, eventId, state, exception, formatter);
        }
#pragma warning disable CA1031 // Whatever it is, there is nobody to tell.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }
}
