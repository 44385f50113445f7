using System.Collections.Concurrent;
using System.Globalization;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Functional.Wire;
using Serve.Embedded.Tests.Replicas.Workers.Road;

namespace Serve.Embedded.Tests.Stress;

/// <summary>The workers of the stress: each does with a request what that says, and looks how many it has.</summary>
internal sealed class RoadStressWorkers : IAsyncDisposable
{
    private readonly RoadLedger _ledger;
    private readonly RoadFault _fault;
    private readonly int _limit;
    private readonly SeededRandom _random;
    private readonly List<Running>[] _running;
    private readonly ConcurrentQueue<(int Worker, Running[] Running)> _tooMany = new();

    /// <param name="ledger">What is told what they see.</param>
    /// <param name="random">Of the pieces in which they answer.</param>
    /// <param name="fault">What is wrong with them.</param>
    /// <param name="count">How many there are at most.</param>
    /// <param name="limit">The most requests that one may have at a time.</param>
    public RoadStressWorkers(RoadLedger ledger, SeededRandom random, RoadFault fault, int count, int limit)
    {
        _ledger = ledger;
        _random = random;
        _fault = fault;
        _limit = limit;
        _running = [.. Enumerable.Range(0, count).Select(_ => new List<Running>())];
        All = new(count, ServeAsync);
    }

    public WorkersInTest All { get; }

    public ValueTask DisposeAsync() => All.DisposeAsync();

    /// <summary>
    /// When all is over: whether those that were too many at a time were so in truth. A process that the server starts has all of its descriptors for a moment, and a connection that the server has closed is open for as long.
    /// So those count that had their whole answer, since they were running up to its end.
    /// </summary>
    public void LookBack()
    {
        foreach ((int worker, Running[] all) in _tooMany)
        {
            Running[] running = [.. all.Where(r => r.Request is { Runs: 1, IsWhole: true })];
            if (running.Length > _limit)
            {
                _ledger.Violation(2, $"worker {worker} had {running.Length} requests at a time and may have {_limit}: {string.Join(", ", running.Select(r => r.Request))}");
            }
        }
    }

    private async Task ServeAsync(int worker, WorkerSide side)
    {
        Running? running = null;
        RoadRequest? before = null;
        try
        {
            while (true)
            {
                RecordedRequest got = await RecordedRequest.ReadAsync(side);
                if (_ledger.Ran(got.Target[1..], got.Method, got.Body) is not { } request)
                {
                    return;
                }

                if (_fault == RoadFault.RunsTwice && request.Method == "POST" && _random.Next(50) == 0)
                {
                    _ledger.Ran(got.Target[1..], got.Method, got.Body);
                }

                running = Begin(worker, side, request);
                RoadRequest answered = _fault == RoadFault.GivesAConnectionBackTooEarly ? before ?? request : request;
                if (!await AnswerAsync(running, request, answered))
                {
                    return;
                }

                before = request;
            }
        }
        catch (FormatException malformed)
        {
            _ledger.Violation(1, malformed.Message);
        }
        finally
        {
            running?.Ends();
        }
    }

    /// <returns>Whether the connection goes on.</returns>
    private async Task<bool> AnswerAsync(Running running, RoadRequest request, RoadRequest answered)
    {
        WorkerSide side = running.Side;
        string framing = request.Deed switch
        {
            RoadDeed.Chunks => "Transfer-Encoding: chunked\r\n",
            RoadDeed.UntilClosed => "",
            _ => $"Content-Length: {answered.Length.ToString(CultureInfo.InvariantCulture)}\r\n",
        };
        string head = $"HTTP/1.1 200 OK\r\nX-Token: {answered.Token}\r\n{framing}\r\n";
        string body = request.Method == "HEAD" ? "" : RoadRequest.BodyOf(answered.Token, answered.Length);
        switch (request.Deed)
        {
            case RoadDeed.Breaks:
                running.Ends();
                return false;
            case RoadDeed.Hangs:
                await side.ClosedAsync();
                return false;
            case RoadDeed.BreaksOff:
                string all = head + body;
                await side.SendAsync(all[.._random.Next(all.Length)]);
                running.Ends();
                return false;
            case RoadDeed.Chunks when request.Method != "HEAD":
                await side.SendAsync(head);
                foreach (string piece in Pieces(body))
                {
                    await PauseAsync();
                    await side.SendAsync(string.Create(CultureInfo.InvariantCulture, $"{piece.Length:x}\r\n{piece}\r\n"));
                }

                running.Ends();
                await side.SendAsync("0\r\n\r\n");
                return true;
            case RoadDeed.Pieces:
                string last = head;
                foreach (string piece in Pieces(body))
                {
                    await side.SendAsync(last);
                    await PauseAsync();
                    last = piece;
                }

                running.Ends();
                await side.SendAsync(last);
                return true;
            default:
                running.Ends();
                await side.SendAsync(head + body);
                return request.Deed is RoadDeed.Whole or RoadDeed.Chunks;
        }
    }

    private IEnumerable<string> Pieces(string body)
    {
        while (body.Length > 0)
        {
            int length = _random.Next(1, Math.Min(body.Length, 30_000) + 1);
            yield return body[..length];
            body = body[length..];
        }
    }

    private async Task PauseAsync()
    {
        for (int i = _random.Next(4) == 0 ? _random.Next(200) : 0; i > 0; i--)
        {
            await Task.Yield();
        }
    }

    private Running Begin(int worker, WorkerSide side, RoadRequest request)
    {
        Running begun = new(side, request);
        List<Running> running = _running[worker];
        lock (running)
        {
            // In this order: those that are left were there at the same time.
            running.Add(begun);
            running.RemoveAll(r => r.HasEnded);
            if (running.Count > _limit)
            {
                _tooMany.Enqueue((worker, [.. running]));
            }
        }

        return begun;
    }

    /// <summary>A request at a worker, up to the last piece of its answer: whoever has that may have given the permit back.</summary>
    private sealed class Running(WorkerSide side, RoadRequest request)
    {
        private volatile bool _hasEnded;

        public WorkerSide Side => side;

        public RoadRequest Request => request;

        public bool HasEnded => _hasEnded || side.IsClosed;

        public void Ends() => _hasEnded = true;
    }
}
