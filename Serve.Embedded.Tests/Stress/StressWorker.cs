using System.Collections.Concurrent;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Simulation;

namespace Serve.Embedded.Tests.Stress;

/// <summary>One thread of callers: arrives, leaves, ends its work, at random. What it arrives with is its own until it has ended.</summary>
internal sealed class StressWorker(AdmissionStress stress, int index, int seed)
{
    private const int MostOwn = 40;

    private readonly SeededRandom _random = new(((ulong)seed * 1000) + (ulong)index);
    private readonly ConcurrentQueue<StressRequest> _granted = new();
    private readonly List<StressRequest> _waiting = [];
    private readonly List<(StressRequest Request, int Replica)> _running = [];
    private readonly Dictionary<int, long> _lastGranted = [];
    private long _number;

    /// <summary>By handle.</summary>
    public Dictionary<int, Tally> Tallies { get; } = [];

    public long Arrivals => _number;

    public IReadOnlyList<(StressRequest Request, int Replica)> Running => _running;

    public IReadOnlyList<StressRequest> Waiting => _waiting;

    public void Act(int arrivals)
    {
        long until = _number + arrivals;

        // A broken subject may never let go of anybody: the steps are bounded too.
        for (int step = 0; _number < until && step < 10 * arrivals; step++)
        {
            TakeGranted();
            int dice = _random.Next(100);
            if (dice < 12 && _waiting.Count > 0)
            {
                Leave(_random.Next(_waiting.Count));
            }
            else if (_running.Count > 0 && (dice < 50 || _running.Count + _waiting.Count >= MostOwn))
            {
                End(_random.Next(_running.Count));
            }
            else if (_running.Count + _waiting.Count >= MostOwn)
            {
                Leave(_random.Next(_waiting.Count));
            }
            else
            {
                Arrive(_random.Next(stress.Handles));
            }
        }
    }

    /// <summary>Everything that runs ends; what waits is left to what that sets free.</summary>
    public void EndAllRunning()
    {
        TakeGranted();
        while (_running.Count > 0)
        {
            End(_running.Count - 1);
        }
    }

    public void TakeGranted()
    {
        while (_granted.TryDequeue(out StressRequest? request))
        {
            _waiting.Remove(request);
            Started(request, request.Replica);
        }
    }

    public ModelDecision Arrive(int handle)
    {
        StressRequest request = new(this, handle, _number++);
        Tally tally = TallyOf(handle);
        tally.Arrived++;
        int removed = stress.RemovedReplicas;
        bool ahead = false;
        foreach (StressRequest own in _waiting)
        {
            ahead |= own.Handle == handle && own.IsWaiting;
        }

        ModelDecision decision = stress.Subject.Admit(request, out int replica);
        switch (decision)
        {
            case ModelDecision.Run:
                if (ahead && _waiting.Where(w => w.Handle == handle && w.IsWaiting).ToArray().Any(LeavesInstead))
                {
                    stress.Violation(3, $"request {request.Number} ran while an older one of its thread waits in handle {handle}");
                }

                if (stress.WasRemoved(replica, removed))
                {
                    stress.Violation(7, $"request {request.Number} was given to replica {replica}, which had been removed before it came");
                }

                request.TryMarkLeft();
                Started(request, replica);
                break;
            case ModelDecision.Wait:
                _waiting.Add(request);
                break;
            default:
                tally.Shed++;
                break;
        }

        stress.LookAtQueue(handle);
        return decision;
    }

    /// <summary>Called in the order of grants, from whichever thread makes them.</summary>
    public void Granted(StressRequest request, bool twice, bool afterItLeft)
    {
        if (twice)
        {
            stress.Violation(4, $"request {request.Number} was given a permit twice");
        }
        else if (afterItLeft)
        {
            stress.Violation(6, $"request {request.Number} was given a permit after it had left");
        }

        lock (_lastGranted)
        {
            if (_lastGranted.TryGetValue(request.Handle, out long last) && last > request.Number)
            {
                stress.Violation(3, $"request {request.Number} was given a permit after {last}, which came later in handle {request.Handle}");
            }

            _lastGranted[request.Handle] = request.Number;
        }

        _granted.Enqueue(request);
    }

    /// <summary>A grant may have been decided and not been told yet: then leaving is refused, and nobody was overtaken.</summary>
    private bool LeavesInstead(StressRequest request)
    {
        if (!stress.Subject.TryLeave(request))
        {
            return false;
        }

        request.TryMarkLeft();
        _waiting.Remove(request);
        TallyOf(request.Handle).Cancelled++;
        return true;
    }

    private void Leave(int index)
    {
        StressRequest request = _waiting[index];
        if (!stress.Subject.TryLeave(request))
        {
            return;
        }

        if (!request.TryMarkLeft())
        {
            stress.Violation(6, $"request {request.Number} both left and was given a permit");
        }

        _waiting.RemoveAt(index);
        TallyOf(request.Handle).Cancelled++;
    }

    private void Started(StressRequest request, int replica)
    {
        stress.Started(replica);
        TallyOf(request.Handle).Started++;
        _running.Add((request, replica));
    }

    private void End(int index)
    {
        (StressRequest request, int replica) = _running[index];
        _running[index] = _running[^1];
        _running.RemoveAt(_running.Count - 1);
        stress.Ends(replica);
        TallyOf(request.Handle).Completed++;
        stress.Subject.Release(request, replica);
    }

    private Tally TallyOf(int handle)
    {
        if (!Tallies.TryGetValue(handle, out Tally? tally))
        {
            Tallies[handle] = tally = new();
        }

        return tally;
    }
}

/// <summary>What one worker saw happen in one handle.</summary>
internal sealed class Tally
{
    public long Arrived { get; set; }

    public long Started { get; set; }

    public long Shed { get; set; }

    public long Completed { get; set; }

    public long Cancelled { get; set; }
}
