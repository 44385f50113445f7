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
    private Cell[] _cells = [];
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

        Cell cell = Find(Volatile.Read(ref _cells), method, statusCode) ?? CellOf(KnownMethod(method), statusCode);
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
        foreach (Cell cell in Volatile.Read(ref _cells))
        {
            yield return new(application, route, cell.Method, cell.Status, cell.IsError, Volatile.Read(ref cell.Untimed) + cell.Latency.Count, cell.Latency);
        }
    }

    private static Cell? Find(Cell[] cells, string method, int statusCode)
    {
        foreach (Cell cell in cells)
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
            if (Find(_cells, method, statusCode) is { } known)
            {
                return known;
            }

            Cell added = new(method, statusCode, statusCode.ToString(CultureInfo.InvariantCulture), statusCode >= 400);
            if (_cells.Length >= MostCells)
            {
                int firstDigit = statusCode / 100;
                if (Find(_cells, OtherMethod, firstDigit) is { } other)
                {
                    return other;
                }

                added = new(OtherMethod, firstDigit, $"{firstDigit}xx", firstDigit >= 4);
            }

            Volatile.Write(ref _cells, [.. _cells, added]);
            return added;
        }
    }

    private sealed class Cell(string method, int statusCode, string status, bool isError)
    {
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
