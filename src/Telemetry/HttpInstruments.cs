using System.Diagnostics.Metrics;
using System.Globalization;

namespace Serve.Embedded.Telemetry;

/// <summary>What is told of single HTTP requests. Every tag has few values, whatever clients send.</summary>
internal sealed class HttpInstruments(Meter meter, InstrumentAdvice<double> milliseconds)
{
    private const int FirstError = 400;
    private const int MostCodes = 1000;

    private static readonly string?[] Codes = new string?[MostCodes];

    private readonly Counter<long> _requests = meter.CreateCounter<long>(InstrumentNames.HttpRequests, "{request}", "HTTP requests that were answered.");
    private readonly Counter<long> _errors = meter.CreateCounter<long>(InstrumentNames.HttpErrors, "{request}", "HTTP requests that were answered with 400 or more, or whose client left.");
    private readonly Histogram<double> _latency = meter.CreateHistogram(InstrumentNames.HttpRequestLatency, "ms", "How long an HTTP request took from its headers to the end of its answer.", tags: null, milliseconds);

    /// <summary>Somebody wants to know. Ask before measuring.</summary>
    public bool AreHeard => _requests.Enabled || _errors.Enabled || _latency.Enabled;

    /// <param name="method">As the client wrote it.</param>
    /// <param name="route">The application's prefix, never a path; <see langword="null"/> = there was none for it.</param>
    /// <param name="application">Its name.</param>
    /// <param name="statusCode">499 where the client left.</param>
    /// <param name="latency">Of the whole request.</param>
    public void Answered(string method, string? route, string? application, int statusCode, TimeSpan latency)
    {
        KeyValuePair<string, object?> code = new(InstrumentNames.StatusCodeTag, TextOf(statusCode));
        ReadOnlySpan<KeyValuePair<string, object?>> tags =
        [
            new(InstrumentNames.RouteTag, route ?? ""), new(InstrumentNames.MethodTag, KnownMethod(method)), new(InstrumentNames.ApplicationTag, application ?? ""), code,
        ];
        _requests.Add(1, tags);
        _latency.Record(latency.TotalMilliseconds, tags);
        if (statusCode >= FirstError)
        {
            _errors.Add(1, [tags[0], tags[1], tags[2], new(InstrumentNames.ErrorCodeTag, code.Value)]);
        }
    }

    private static string TextOf(int code) => code is >= 0 and < MostCodes
        ? Codes[code] ??= code.ToString(CultureInfo.InvariantCulture)
        : code.ToString(CultureInfo.InvariantCulture);

    private static string KnownMethod(string method) => method is "GET" or "HEAD" or "POST" or "PUT" or "PATCH" or "DELETE" or "OPTIONS" or "TRACE" or "CONNECT" ? method : "_OTHER";
}
