using System.Collections;
using System.Globalization;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// One handled request, as a log state that any provider can print and that ours writes without making an object.
/// <paramref name="Route"/> is the pattern, not the path.
/// </summary>
internal readonly record struct AccessLogEntry(
    string Method, string Route, int StatusCode, TimeSpan Latency, string? RequestId, string? Application, string? Deployment, string? Replica)
    : IReadOnlyList<KeyValuePair<string, object?>>
{
    public const string Template = "{Method} {Route} {StatusCode} {LatencyMs:F1}ms";

    public int Count => 9;

    public KeyValuePair<string, object?> this[int index] => index switch
    {
        0 => new(nameof(Method), Method),
        1 => new(nameof(Route), Route),
        2 => new(nameof(StatusCode), StatusCode),
        3 => new("LatencyMs", LatencyTenths / 10.0),
        4 => new(nameof(RequestId), RequestId),
        5 => new(nameof(Application), Application),
        6 => new(nameof(Deployment), Deployment),
        7 => new(nameof(Replica), Replica),
        8 => new("{OriginalFormat}", Template),
        _ => throw new ArgumentOutOfRangeException(nameof(index)),
    };

    /// <summary>The latency in tenths of a millisecond: what the line shows.</summary>
    public long LatencyTenths => (Latency.Ticks + (TimeSpan.TicksPerMillisecond / 20)) / (TimeSpan.TicksPerMillisecond / 10);

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Method} {Route} {StatusCode} {LatencyTenths / 10}.{LatencyTenths % 10}ms");

    public IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
    {
        for (int i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
