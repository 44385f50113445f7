using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Serve.Embedded.Deployments;
using Serve.Embedded.Tests.Simulation;

namespace Serve.Embedded.Tests.Stress;

/// <summary>
/// Runs an admission under threads that arrive, leave and end, while limits and replicas change, in rounds; between rounds, when nobody moves, it asks
/// whether the invariants of admission hold. Invariants are numbered: 1 limits, 2 work-conserving, 3 first in first out, 4 every request ends once and the
/// counters add up, 5 a permit comes back once, 6 who has left is gone, 7 changes lose nobody.
/// </summary>
internal sealed class AdmissionStress
{
    private const int ArrivalsPerRound = 2000;
    private const int MostReplicas = 512;

    /// <summary>In a round, also where this thread gets a processor only when the workers have ended theirs.</summary>
    private const int LeastChanges = 20;

    /// <summary>After the first violation it goes on for a while: one fault is often seen in several ways.</summary>
    private const int RoundsAfterViolation = 20;

    private readonly int _seed;
    private readonly SeededRandom _random;
    private readonly List<StressWorker> _workers = [];
    private readonly ConcurrentQueue<(int Invariant, string Text)> _violations = new();
    private readonly List<int> _maxQueued = [];
    private readonly int[] _queueCeiling = new int[8];
    private readonly int[] _limit = new int[MostReplicas];
    private readonly int[] _ceiling = new int[MostReplicas];
    private readonly int[] _ongoing = new int[MostReplicas];
    private readonly int[] _removedAs = new int[MostReplicas];
    private int _replicas;
    private int _removed;

    /// <summary>Odd while ceilings move; a look that saw it change says nothing.</summary>
    private int _ceilings;

    public AdmissionStress(AdmissionSubject subject, int seed, int workers = 3, int handles = 3)
    {
        Subject = subject;
        _seed = seed;
        _random = new((ulong)seed);
        for (int i = 0; i < handles; i++)
        {
            int maxQueued = _random.Next(1, 12);
            subject.AddHandle(maxQueued);
            _maxQueued.Add(maxQueued);
            _queueCeiling[i] = maxQueued;
        }

        for (int i = 0; i < workers; i++)
        {
            _workers.Add(new(this, i, seed));
        }

        AddReplica();
        AddReplica();
        AddReplica();
    }

    public AdmissionSubject Subject { get; }

    public int Handles => _maxQueued.Count;

    /// <summary>Replicas whose removal has returned.</summary>
    public int RemovedReplicas => Volatile.Read(ref _removed);

    public bool Failed => !_violations.IsEmpty;

    public long Arrivals => _workers.Sum(w => w.Arrivals);

    public void Violation(int invariant, string text)
    {
        if (_violations.Count(v => v.Invariant == invariant) < 3)
        {
            _violations.Enqueue((invariant, text));
        }
    }

    public bool WasRemoved(int replica, int removedThen)
    {
        int removedAs = Volatile.Read(ref _removedAs[replica]);
        return removedAs != 0 && removedAs <= removedThen;
    }

    /// <summary>Counted late and uncounted early, so never more than the subject's own; the ceiling falls only when the subject's own is below it.</summary>
    public void Started(int replica)
    {
        int ceilings = Volatile.Read(ref _ceilings);
        int ongoing = Interlocked.Increment(ref _ongoing[replica]);
        int ceiling = Volatile.Read(ref _ceiling[replica]);
        if (ongoing > ceiling && StoodStill(ceilings))
        {
            Violation(1, $"replica {replica} has {ongoing} ongoing, above the {ceiling} that are allowed");
        }
    }

    public void Ends(int replica) => Interlocked.Decrement(ref _ongoing[replica]);

    public void LookAtQueue(int handle)
    {
        int ceilings = Volatile.Read(ref _ceilings);
        int queued = Subject.Queued(handle);
        int ceiling = Volatile.Read(ref _queueCeiling[handle]);
        if (queued > ceiling && StoodStill(ceilings))
        {
            Violation(1, $"handle {handle} has {queued} queued, above the {ceiling} that are allowed");
        }
    }

    /// <summary>Runs until so many have arrived, or an invariant is broken. Returns the invariants that were, with what was seen.</summary>
    public IReadOnlyList<(int Invariant, string Text)> Run(long arrivals)
    {
        using Barrier barrier = new(_workers.Count + 1);
        bool stop = false;
        int inRound = 0;
        Thread[] threads = [.. _workers.Select(w => new Thread(() =>
        {
            while (true)
            {
                barrier.SignalAndWait();
                if (Volatile.Read(ref stop))
                {
                    return;
                }

                w.Act(ArrivalsPerRound / _workers.Count);
                Interlocked.Decrement(ref inRound);
                barrier.SignalAndWait();
            }
        }))];
        Array.ForEach(threads, t => t.Start());
        for (int after = 0; Arrivals < arrivals && after < RoundsAfterViolation; after += Failed ? 1 : 0)
        {
            Volatile.Write(ref inRound, _workers.Count);
            barrier.SignalAndWait();
            for (int changes = 0; changes < LeastChanges || Volatile.Read(ref inRound) > 0; changes++)
            {
                Interlocked.Increment(ref _ceilings);
                Change();
                Interlocked.Increment(ref _ceilings);
                for (int i = 0; i < 10; i++)
                {
                    Thread.Yield();
                }
            }

            barrier.SignalAndWait();
            AtRest();
            if (_random.Next(8) == 0)
            {
                Probe();
            }
        }

        Volatile.Write(ref stop, true);
        barrier.SignalAndWait();
        Array.ForEach(threads, t => t.Join());
        if (!Failed)
        {
            Finish();
        }

        return [.. _violations];
    }

    /// <summary>A failure says how to see it again.</summary>
    public string Describe(IReadOnlyList<(int Invariant, string Text)> violations) =>
        $"SERVE_STRESS_SEED={_seed}, after {Arrivals} arrivals: {string.Join("; ", violations.Take(5).Select(v => $"invariant {v.Invariant}: {v.Text}"))}";

    private void Change()
    {
        int alive = _random.Next(_replicas);
        switch (_random.Next(200))
        {
            case < 4 when _replicas < MostReplicas && AliveReplicas() < 4:
                AddReplica();
                break;
            case < 8 when _replicas < MostReplicas && AliveReplicas() > 1 && !IsRemoved(alive):
                RemoveReplica(alive);
                break;
            case < 120 when !IsRemoved(alive):
                Resize(alive, _random.Next(6));
                break;
            default:
                SetMaxQueued(_random.Next(Handles), _random.Next(12));
                break;
        }

        for (int i = 0; i < _replicas; i++)
        {
            if (Subject.Ongoing(i) <= _limit[i])
            {
                Volatile.Write(ref _ceiling[i], _limit[i]);
            }
        }

        for (int i = 0; i < Handles; i++)
        {
            if (Subject.Queued(i) <= _maxQueued[i])
            {
                Volatile.Write(ref _queueCeiling[i], _maxQueued[i]);
            }
        }
    }

    private bool StoodStill(int ceilings) => ceilings % 2 == 0 && Volatile.Read(ref _ceilings) == ceilings;

    private int AliveReplicas() => Enumerable.Range(0, _replicas).Count(r => !IsRemoved(r));

    private bool IsRemoved(int replica) => _removedAs[replica] != 0;

    private void AddReplica()
    {
        int limit = _random.Next(1, 6);
        _limit[_replicas] = limit;
        Volatile.Write(ref _ceiling[_replicas], limit);
        _replicas++;
        Subject.AddReplica(limit);
    }

    private void Resize(int replica, int limit)
    {
        Volatile.Write(ref _ceiling[replica], Math.Max(_ceiling[replica], limit));
        _limit[replica] = limit;
        Subject.Resize(replica, limit);
    }

    private void RemoveReplica(int replica)
    {
        _limit[replica] = 0;
        Subject.RemoveReplica(replica);
        Volatile.Write(ref _removedAs[replica], _removed + 1);
        Volatile.Write(ref _removed, _removed + 1);
    }

    private void SetMaxQueued(int handle, int maxQueued)
    {
        Volatile.Write(ref _queueCeiling[handle], Math.Max(_queueCeiling[handle], maxQueued));
        _maxQueued[handle] = maxQueued;
        Subject.SetMaxQueued(handle, maxQueued);
    }

    /// <summary>Nobody moves: everything is exact.</summary>
    private void AtRest()
    {
        foreach (StressWorker worker in _workers)
        {
            worker.TakeGranted();
        }

        int free = 0;
        for (int i = 0; i < _replicas; i++)
        {
            free += Math.Max(0, _limit[i] - _ongoing[i]);
            if (_ongoing[i] > _ceiling[i])
            {
                Violation(1, $"replica {i} has {_ongoing[i]} ongoing, above the {_ceiling[i]} that are allowed");
            }

            if (Subject.Ongoing(i) != _ongoing[i])
            {
                Violation(5, $"replica {i} says {Subject.Ongoing(i)} ongoing and {_ongoing[i]} are");
            }
        }

        if (Subject.Free != free)
        {
            Violation(5, $"{Subject.Free} permits are free, and {free} should be");
        }

        int waiting = _workers.Sum(w => w.Waiting.Count);
        if (waiting > 0 && free > 0)
        {
            Violation(2, $"{waiting} wait while {free} permits are free");
        }

        if (Subject.Shown != waiting)
        {
            Violation(4, $"{Subject.Shown} are shown to wait and {waiting} do");
        }

        if (Subject.Waiting != waiting)
        {
            Violation(Subject.Waiting < waiting ? 7 : 4, $"{Subject.Waiting} are said to wait and {waiting} do");
        }

        for (int h = 0; h < Handles; h++)
        {
            int queued = _workers.Sum(w => w.Waiting.Count(r => r.Handle == h));
            if (queued > _queueCeiling[h])
            {
                Violation(1, $"{queued} wait in handle {h}, above {_queueCeiling[h]}");
            }

            SubjectCounts seen = new(
                Total(h, t => t.Arrived), Total(h, t => t.Started), Total(h, t => t.Shed), Total(h, t => t.Completed), Total(h, t => t.Cancelled));
            if (Subject.Counts(h) != seen)
            {
                Violation(4, $"handle {h} says {Subject.Counts(h)}, and {seen} were seen");
            }

            if (seen.Arrived != seen.Started + seen.Shed + seen.Cancelled + queued)
            {
                Violation(4, $"handle {h}: {seen} and {queued} that wait do not add up");
            }
        }
    }

    private long Total(int handle, Func<Tally, long> count) => _workers.Sum(w => w.Tallies.TryGetValue(handle, out Tally? tally) ? count(tally) : 0);

    /// <summary>One arrival at a time: each decision has one right answer.</summary>
    private void Probe()
    {
        // Half of the time nothing waits and little runs, so that permits are free.
        bool calm = _random.Next(2) == 0;
        for (int i = calm ? 20 : 0; i > 0; i--)
        {
            _workers.ForEach(w => w.EndAllRunning());
        }

        for (int i = 0; i < 60; i++)
        {
            if (calm && _random.Next(3) == 0)
            {
                _workers[0].EndAllRunning();
            }

            _workers.ForEach(w => w.TakeGranted());

            int handle = _random.Next(Handles);
            int free = Enumerable.Range(0, _replicas).Sum(r => Math.Max(0, _limit[r] - _ongoing[r]));
            int waiting = _workers.Sum(w => w.Waiting.Count);
            int queued = _workers.Sum(w => w.Waiting.Count(r => r.Handle == handle));
            ModelDecision right = waiting == 0 && free > 0 ? ModelDecision.Run : queued < _maxQueued[handle] ? ModelDecision.Wait : ModelDecision.Refused;
            ModelDecision decision = _workers[0].Arrive(handle);
            if (decision != right)
            {
                Violation(decision == ModelDecision.Wait && right == ModelDecision.Refused ? 1 : 2, $"an arrival with {free} permits free, {waiting} waiting and {queued} of {_maxQueued[handle]} queued: {decision}, not {right}");
            }
        }
    }

    /// <summary>No more arrivals: what waits must run by nothing but what ends, and then everything must be as at the beginning.</summary>
    private void Finish()
    {
        for (int i = 0; i < _replicas; i++)
        {
            if (!IsRemoved(i))
            {
                Resize(i, 2);
            }
        }

        for (int i = 0; i < 1000 && !Failed && _workers.Exists(w => w.Running.Count + w.Waiting.Count > 0); i++)
        {
            _workers.ForEach(w => w.EndAllRunning());
            AtRest();
        }

        if (!Failed && _workers.Exists(w => w.Running.Count + w.Waiting.Count > 0))
        {
            Violation(2, "somebody still waits although everything that ran has ended");
        }
    }

    /// <summary>
    /// So many arrive and leave at once behind one that stays, in a queue of the given limit.
    /// Returns the bytes by which memory grew.
    /// </summary>
    public static long Flood(AdmissionSubject subject, int arrivals, int limit)
    {
        subject.AddHandle(limit);
        StressRequest stays = new(null, 0, -1);
        subject.Admit(stays, out _);
        ArriveAndLeave(subject, 1000);
        long before = InUse();
        ArriveAndLeave(subject, arrivals);
        long after = InUse();
        Assert.Equal(1, subject.Waiting);
        subject.AddReplica(1);
        Assert.False(stays.IsWaiting);
        GC.KeepAlive(subject);
        return after - before;
    }

    /// <summary>Exactly, and not within the twentieth of the heap that <see cref="GC.GetTotalMemory"/> is content with by itself: earlier tests have left more than that.</summary>
    private static long InUse()
    {
        for (int i = 0; i < 2; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        GC.Collect();
        return GC.GetTotalMemory(forceFullCollection: false);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ArriveAndLeave(AdmissionSubject subject, int times)
    {
        for (int i = 0; i < times; i++)
        {
            StressRequest request = new(null, 0, i);
            if (subject.Admit(request, out _) != ModelDecision.Wait || !subject.TryLeave(request))
            {
                Assert.Fail($"Arrival {i} of the flood did not wait and leave.");
            }
        }
    }
}
