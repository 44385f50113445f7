using Microsoft.Extensions.Logging;

namespace Serve.Embedded.Replicas;

/// <summary>Keeps the last lines of one replica, for the report of why it failed.</summary>
internal sealed class ReplicaLog
{
    public const int MostLines = 20;
    public const int LongestLine = 500;

    private readonly Lock _gate = new();
    private readonly Queue<string> _lines = new();

    public IReadOnlyList<string> Tail
    {
        get
        {
            lock (_gate)
            {
                return [.. _lines];
            }
        }
    }

    public void Add(string line)
    {
        line = line.Length <= LongestLine ? line : string.Concat(line.AsSpan(0, LongestLine), "...");
        lock (_gate)
        {
            if (_lines.Count == MostLines)
            {
                _lines.Dequeue();
            }

            _lines.Enqueue(line);
        }
    }

    /// <summary>A logger that also keeps what it writes here.</summary>
    public ILogger Around(ILogger logger) => new KeepingLogger(logger, this);

    private sealed class KeepingLogger(ILogger logger, ReplicaLog kept) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => logger.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => logger.IsEnabled(logLevel);

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logger.IsEnabled(logLevel))
            {
                kept.Add(exception is null ? formatter(state, exception) : $"{formatter(state, exception)} {exception.GetType().Name}: {exception.Message}");
            }

            logger.Log(logLevel, eventId, state, exception, formatter);
        }
    }
}
