using System.Globalization;

namespace Serve.Embedded.Telemetry;

/// <summary>
/// What became of one application's HTTP requests, by method and status. What is counted goes on when the application changes, and its route is the one under which it answered last. However inventive clients and
/// handlers are, an application has no more than <see cref="MostCells"/> such pairs; what goes beyond is counted by the first digit of its status.
/// </summary>
/// <param name="application">Its name; empty = there was none for them.</param>
internal sealed class HttpCounts(string application)
{
    public const int MostCells = 64;

    private const string OtherMethod = "_OTHER";

    private readonly Lock _gate = new();

    /// <summary>Each knows the next. Nearly all requests are of the pair that came first, and to find that one costs no array: with a thousand applications, each place in memory on the way to a count is one that no cache holds.</summary>
    private Cell? _first;
    private int _count;
    private string _route = string.Empty;

    /// <param name="method">As the client wrote it.</param>
    /// <param name="statusCode">499 where the client left.</param>
    /// <param name="route">The application's prefix, never a path; <see langword="null"/> = it has none.</param>
    /// <param name="latency">Of the whole request; <see langword="null"/> = nobody wants to know.</param>
    public void Answered(string method, int statusCode, string? route, TimeSpan? latency)
    {
        route ??= string.Empty;
        if (Volatile.Read(ref _route) != route)
        {
            Volatile.Write(ref _route, route);
        }

        Cell cell = Find(method, statusCode) ?? CellOf(KnownMethod(method), statusCode);
        if (latency is { } time)
        {
            cell.Latency.Record(time);
        }
        else
        {
            Interlocked.Increment(ref cell.Untimed);
        }
    }

    public static string KnownMethod(string method) =>
        method is "GET" or "HEAD" or "POST" or "PUT" or "PATCH" or "DELETE" or "OPTIONS" or "TRACE" or "CONNECT" ? method : OtherMethod;

    public IEnumerable<HttpCount> Read()
    {
        string route = Volatile.Read(ref _route);
        for (Cell? cell = Volatile.Read(ref _first); cell is not null; cell = Volatile.Read(ref cell.Next))
        {
            yield return new(application, route, cell.Method, cell.Status, cell.IsError, Volatile.Read(ref cell.Untimed) + cell.Latency.Count, cell.Latency);
        }
    }

    private Cell? Find(string method, int statusCode)
    {
        for (Cell? cell = Volatile.Read(ref _first); cell is not null; cell = Volatile.Read(ref cell.Next))
        {
            if (cell.StatusCode == statusCode && cell.Method == method)
            {
                return cell;
            }
        }

        return null;
    }

    private Cell CellOf(string method, int statusCode)
    {
        lock (_gate)
        {
            if (Find(method, statusCode) is { } known)
            {
                return known;
            }

            Cell added = new(method, statusCode, statusCode.ToString(CultureInfo.InvariantCulture), statusCode >= 400);
            if (_count >= MostCells)
            {
                int firstDigit = statusCode / 100;
                if (Find(OtherMethod, firstDigit) is { } other)
                {
                    return other;
                }

                added = new(OtherMethod, firstDigit, $"{firstDigit}xx", firstDigit >= 4);
            }

            ref Cell? end = ref _first;
            while (end is not null)
            {
                end = ref end.Next;
            }

            Volatile.Write(ref end, added);
            _count++;
            return added;
        }
    }

    private sealed class Cell(string method, int statusCode, string status, bool isError)
    {
        public Cell? Next;

        public long Untimed;

        public string Method => method;

        public int StatusCode => statusCode;

        public string Status => status;

        public bool IsError => isError;

        public StripedHistogram Latency { get; } = new(HistogramBuckets.Milliseconds);
    }
}

/// <summary>How often something was answered, and how long that took, for as long as that was measured.</summary>
internal readonly record struct HttpCount(string Application, string Route, string Method, string Status, bool IsError, long Requests, StripedHistogram Latency)
{
    public KeyValuePair<string, object?>[] Tags(string statusTag) =>
        [new(InstrumentNames.RouteTag, Route), new(InstrumentNames.MethodTag, Method), new(InstrumentNames.ApplicationTag, Application), new(statusTag, Status)];
}
