using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Proxy;

/// <summary>
/// Hears what Kestrel says to its own log alone, at a level at which nobody listens. It answers requests that it cannot read by itself, with a status and no word of why: who is refused with 400 or 431 would
/// find nothing about it anywhere. And it breaks off connections whose clients take a response too slowly, which looks as if they had left.
/// </summary>
/// <param name="inner">Where all that Kestrel logs goes.</param>
/// <param name="time">The clock.</param>
/// <param name="find">Finds the connection that has an id; <see langword="null"/> = it is gone.</param>
internal sealed class KestrelLog(ILoggerFactory inner, TimeProvider time, Func<string, ServingConnection?> find) : ILoggerFactory
{
    private const string Category = "Microsoft.AspNetCore.Server.Kestrel.BadRequests";

    /// <summary>What it says before it breaks such a connection off.</summary>
    private const string TooSlow = "ResponseMinimumDataRateNotSatisfied";

    private readonly RefusalLog _refusals = new(inner.CreateLogger(LogCategories.Proxy), "-", "requests that cannot be read", time);

    public ILogger CreateLogger(string categoryName) =>
        categoryName == Category ? new Ear(inner.CreateLogger(categoryName), this) : inner.CreateLogger(categoryName);

    public void AddProvider(ILoggerProvider provider) => inner.AddProvider(provider);

    /// <summary>The log itself is its owner's.</summary>
    public void Dispose() => _refusals.Dispose();

    private ServingConnection? Find(string connectionId) => find(connectionId);

    private void Tell(BadHttpRequestException fault, string? connectionId) => _refusals.Write(
        (Owner: this, Fault: fault, ConnectionId: connectionId),
        static told => told.Owner.Describe(told.Fault, told.ConnectionId));

    private string Describe(BadHttpRequestException fault, string? connectionId)
    {
        ServingConnection? connection = connectionId is null ? null : find(connectionId);

        // What is wrong may be the rest of a body, which Kestrel reads after the answer.
        string client = connection is null ? "" : $" of {connection.Client}";
        string end = connection is { HasClientLeft: true } ? "The client has closed its connection; perhaps it had not sent all of it" : "Its connection closes";
        return $"A request{client} could not be read, and was refused with {fault.StatusCode} unless it had its answer already: {fault.Message.TrimEnd('.')}. {end}.";
    }

    /// <summary>What Kestrel says of one request is the exception for which it refuses it.</summary>
    private sealed class Ear(ILogger log, KestrelLog owner) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => log.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (exception is BadHttpRequestException fault)
            {
                owner.Tell(fault, ConnectionIdIn(state));
            }
            else if (eventId.Name == TooSlow && ConnectionIdIn(state) is { } id && owner.Find(id) is { } connection)
            {
                connection.IsTooSlow = true;
            }

            if (log.IsEnabled(logLevel))
            {
                log.Log(logLevel, eventId, state, exception, formatter);
            }
        }

        private static string? ConnectionIdIn<TState>(TState state) =>
            (state as IReadOnlyList<KeyValuePair<string, object?>>)?.FirstOrDefault(static value => value.Key == "ConnectionId").Value as string;
    }
}
