using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Testing;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Stress;

/// <summary>
/// All requests of the stress, and what was seen to be wrong with them. Invariants are numbered: 1 nobody gets what is another's, 2 no worker has more requests than it may, 3 no more wait than may,
/// 4 every permit comes back, 5 every request has one answer or its connection ends for a reason, 6 the access log and the counters say what was, 7 what may run once runs once, and what was not run has not.
/// </summary>
internal sealed class RoadLedger
{
    /// <summary>What may be answered.</summary>
    private static readonly int[] Statuses = [200, 408, 429, 502, 503];

    private const int LeftStatus = 499;

    /// <summary>Of one on the long road that has left within its body.</summary>
    private const int CutStatus = 400;

    private readonly ConcurrentDictionary<string, RoadRequest> _requests = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<(int Invariant, string Text)> _violations = new();
    private long _events;

    /// <summary>Grows with whatever happens.</summary>
    public long Events => Volatile.Read(ref _events);

    public IReadOnlyList<(int Invariant, string Text)> Violations => [.. _violations];

    public ICollection<RoadRequest> Requests => _requests.Values;

    public void Happens() => Interlocked.Increment(ref _events);

    public void Violation(int invariant, string text)
    {
        if (_violations.Count(v => v.Invariant == invariant) < 5)
        {
            _violations.Enqueue((invariant, text));
        }
    }

    public void Add(RoadRequest request) => _requests[request.Token] = request;

    /// <summary>A worker has got a request.</summary>
    /// <returns>Which; <see langword="null"/> = nobody has sent it.</returns>
    public RoadRequest? Ran(string token, string method, string body)
    {
        Happens();
        if (!_requests.TryGetValue(token, out RoadRequest? request) || method != request.Method || (method is "GET" or "HEAD" && body.Length > 0) || body != RoadRequest.BodyOf(token, body.Length))
        {
            Violation(1, $"a worker got {method} {token} with a body of {body.Length}, which nobody has sent");
            return null;
        }

        if (request.Run() > 1 && method == "POST")
        {
            Violation(7, $"POST {token} was run more than once");
        }

        return request;
    }

    /// <summary>A client has got the head of an answer.</summary>
    public void Answered(RoadRequest request, int status, bool wasNotRun, string? id, string? token)
    {
        Happens();
        request.Status = status;
        request.WasNotRun = wasNotRun;
        if (!Statuses.Contains(status))
        {
            Violation(5, $"{request.Token} was answered with {status}");
        }

        if (id != request.Token || (status == 200 && token != request.Token))
        {
            Violation(1, $"{request.Token} was answered with what is {token}'s, under the id {id}");
        }
    }

    /// <summary>A client has got a body, or the part of it that came.</summary>
    public void HasBody(RoadRequest request, string body, bool isWhole)
    {
        Happens();
        if (request.Status != 200)
        {
            return;
        }

        request.IsWhole = isWhole;

        if (body != RoadRequest.BodyOf(request.Token, body.Length) || body.Length > request.Length)
        {
            Violation(1, $"{request.Token} has a body of {body.Length} that is not its own");
        }
        else if (isWhole && body.Length != (request.Method == "HEAD" ? 0 : request.Length))
        {
            Violation(5, $"{request.Token} has {body.Length} of {request.Length} bytes, and its answer has ended well");
        }
    }

    /// <summary>Everything has ended: what the server says of it must be what was.</summary>
    public void Compare(IEnumerable<FakeLogRecord> lines, RequestTotals totals, IEnumerable<HttpCount> counts)
    {
        (string Id, string Method, int Status)[] logged = [.. lines.Select(l => (
            l.GetStructuredStateValue(nameof(AccessLogEntry.RequestId))!,
            l.GetStructuredStateValue(nameof(AccessLogEntry.Method))!,
            int.Parse(l.GetStructuredStateValue(nameof(AccessLogEntry.StatusCode))!, System.Globalization.CultureInfo.InvariantCulture)))];
        ILookup<string, int> statuses = logged.ToLookup(l => l.Id, l => l.Status, StringComparer.Ordinal);
        foreach (RoadRequest request in _requests.Values)
        {
            Compare(request, [.. statuses[request.Token]]);
        }

        foreach ((string id, string method, int status) in logged)
        {
            if (!_requests.TryGetValue(id, out RoadRequest? request) || request.Method != method || !(Statuses.Contains(status) || (request.HasLeft && status is LeftStatus or CutStatus)))
            {
                Violation(6, $"the log has {method} {status} of {id}, and there is {request}");
            }
        }

        Dictionary<int, long> byStatus = logged.GroupBy(l => l.Status).ToDictionary(g => g.Key, g => (long)g.Count());
        long Of(int status) => byStatus.GetValueOrDefault(status);
        Must(totals.Arrived == logged.Length, "as many arrive as are logged");
        Must(totals.AllEnded, "whatever arrives ends");
        Must(totals.Refused.QueueFull + totals.Refused.QueueTime - Of(429) is var unheard && unheard >= 0 && unheard <= Of(LeftStatus), "as many are refused as are logged, but for those that have left");
        Must(totals.Completed <= Of(200) + Of(LeftStatus), "what completes is logged so");
        Must(Of(502) <= totals.Failed, "what fails is counted so");
        Must(Of(408) <= totals.TimedOut + totals.Failed, "what takes too long is counted so");
        Must(totals.Cancelled <= Of(LeftStatus) + Of(503) + Of(200), "what is cancelled is logged so");
        string ofCounts = Text(counts.Select(c => (c.Method, c.Status, c.Requests)));
        string ofLog = Text(logged.GroupBy(l => (l.Method, l.Status)).Select(g => (g.Key.Method, $"{g.Key.Status}", (long)g.Count())));
        Must(ofCounts == ofLog, $"the counters have {ofCounts}, and the log {ofLog}");

        void Must(bool holds, string what)
        {
            if (!holds)
            {
                Violation(6, $"{what}: {totals}, and by status {string.Join(", ", byStatus)}");
            }
        }
    }

    private static string Text(IEnumerable<(string Method, string Status, long Requests)> counts) =>
        string.Join(", ", counts.Select(c => $"{c.Method} {c.Status}: {c.Requests}").Order(StringComparer.Ordinal));

    private void Compare(RoadRequest request, int[] logged)
    {
        if (logged.Length > 1 || (request.Status is not null && logged.Length == 0) || (request.Runs > 0 && logged.Length == 0))
        {
            Violation(6, $"{request.Token} is in the log {logged.Length} times");
        }

        foreach (int status in logged)
        {
            if (status is LeftStatus or CutStatus ? !request.HasLeft : request.Status is { } seen && seen != status)
            {
                Violation(6, $"{request} is logged with {status}, and its client, which {(request.HasLeft ? "has left" : "stayed")}, has seen {request.Status}");
            }
        }

        if (request.WasNotRun && request.Runs > 0)
        {
            Violation(7, $"{request.Token} is said not to have run, and has");
        }

        if (request is { Status: 200, Runs: 0 })
        {
            Violation(1, $"{request.Token} was answered, and no worker has got it");
        }
    }
}
