using Serve.Embedded.Tests.Simulation;

namespace Serve.Embedded.Tests.Stress;

/// <summary>A rule of admission, broken on purpose.</summary>
internal enum Fault
{
    None,
    OneTooManyAfterAResize,
    QueueOneTooLong,
    LosesAWakeUp,
    LastInFirstOut,
    CountsARequestTwice,
    EndsARequestTwice,
    GivesAPermitBackTwice,
    GrantsWhoHasLeft,
    KeepsWhoHasLeft,
    RefusesWhileAPermitIsFree,
    GrantsOnARemovedReplica,
    LosesWhoWaitsWhenAReplicaGoes,
}

/// <summary>
/// Admission under one lock, as plain as it can be: shows that the harness asks for nothing that cannot be had, and, with a fault, that it would see that fault.
/// </summary>
internal sealed class LockedSubject(Fault fault) : AdmissionSubject
{
    /// <summary>A fault shows itself once in so many chances, as real ones do.</summary>
    private const int Rarely = 40;

    private readonly Lock _gate = new();
    private readonly List<HandleState> _handles = [];
    private readonly List<ReplicaState> _replicas = [];
    private int _turn;
    private int _chances;

    public override int Waiting
    {
        get
        {
            lock (_gate)
            {
                return WaitingNow();
            }
        }
    }

    public override int Free
    {
        get
        {
            lock (_gate)
            {
                return _replicas.Sum(r => Math.Max(0, r.Limit - r.Ongoing));
            }
        }
    }

    public override void AddHandle(int maxQueued)
    {
        lock (_gate)
        {
            _handles.Add(new() { MaxQueued = maxQueued });
        }
    }

    public override void SetMaxQueued(int handle, int maxQueued)
    {
        lock (_gate)
        {
            _handles[handle].MaxQueued = maxQueued;
        }
    }

    public override int Queued(int handle)
    {
        lock (_gate)
        {
            return _handles[handle].Queued;
        }
    }

    public override SubjectCounts Counts(int handle)
    {
        lock (_gate)
        {
            return _handles[handle].Counts;
        }
    }

    public override void AddReplica(int limit)
    {
        lock (_gate)
        {
            _replicas.Add(new() { Limit = limit });
            Pass();
        }
    }

    public override void Resize(int replica, int limit)
    {
        lock (_gate)
        {
            _replicas[replica].Limit = limit + (fault == Fault.OneTooManyAfterAResize ? 1 : 0);
            Pass();
        }
    }

    public override void RemoveReplica(int replica)
    {
        lock (_gate)
        {
            _replicas[replica].Limit = fault == Fault.GrantsOnARemovedReplica ? 1 : 0;
            if (fault == Fault.LosesWhoWaitsWhenAReplicaGoes)
            {
                foreach (HandleState handle in _handles)
                {
                    handle.Queued = 0;
                    handle.Queue.Clear();
                }
            }
        }
    }

    public override int Ongoing(int replica)
    {
        lock (_gate)
        {
            return _replicas[replica].Ongoing;
        }
    }

    public override ModelDecision Admit(StressRequest request, out int replica)
    {
        lock (_gate)
        {
            replica = -1;
            HandleState handle = _handles[request.Handle];
            handle.Counts = handle.Counts with { Arrived = handle.Counts.Arrived + (Now(Fault.CountsARequestTwice) ? 2 : 1) };
            if (WaitingNow() == 0 && FreeReplica() is >= 0 and int free && !Now(Fault.RefusesWhileAPermitIsFree))
            {
                _replicas[free].Ongoing++;
                handle.Counts = handle.Counts with { Started = handle.Counts.Started + 1 };
                replica = free;
                return ModelDecision.Run;
            }

            if (handle.Queued >= handle.MaxQueued + (fault == Fault.QueueOneTooLong ? 1 : 0) || (fault == Fault.RefusesWhileAPermitIsFree && FreeReplica() >= 0))
            {
                handle.Counts = handle.Counts with { Shed = handle.Counts.Shed + 1 };
                return ModelDecision.Refused;
            }

            handle.Queued++;
            handle.Queue.AddLast(request);
            return ModelDecision.Wait;
        }
    }

    public override bool TryLeave(StressRequest request)
    {
        lock (_gate)
        {
            HandleState handle = _handles[request.Handle];
            bool keeps = fault == Fault.KeepsWhoHasLeft || Now(Fault.GrantsWhoHasLeft);
            LinkedListNode<StressRequest>? node = handle.Queue.Find(request);
            if (node is null || handle.Left.Contains(request))
            {
                return false;
            }

            if (keeps)
            {
                handle.Left.Add(request);
            }
            else
            {
                handle.Queue.Remove(node);
            }

            handle.Queued--;
            handle.Counts = handle.Counts with { Cancelled = handle.Counts.Cancelled + 1 };
            return true;
        }
    }

    public override void Release(StressRequest request, int replica)
    {
        lock (_gate)
        {
            HandleState handle = _handles[request.Handle];
            handle.Counts = handle.Counts with { Completed = handle.Counts.Completed + (Now(Fault.EndsARequestTwice) ? 2 : 1) };
            _replicas[replica].Ongoing -= Now(Fault.GivesAPermitBackTwice) ? 2 : 1;
            if (!Now(Fault.LosesAWakeUp))
            {
                Pass();
            }
        }
    }

    private bool Now(Fault rule) => fault == rule && ++_chances % Rarely == 0;

    private int WaitingNow() => _handles.Sum(h => h.Queued);

    private int FreeReplica() => _replicas.FindIndex(r => r.Ongoing < r.Limit);

    private void Pass()
    {
        // Who lost a wake-up once does not look again by itself: one that came back is one that is passed on.
        int most = fault == Fault.LosesAWakeUp ? 1 : int.MaxValue;
        for (int passed = 0; passed < most && FreeReplica() is >= 0 and int replica && TakeNext() is { } next; passed++)
        {
            _replicas[replica].Ongoing++;
            _handles[next.Handle].Counts = _handles[next.Handle].Counts with { Started = _handles[next.Handle].Counts.Started + 1 };
            next.Granted(replica);
        }
    }

    private StressRequest? TakeNext()
    {
        for (int i = 0; i < _handles.Count; i++)
        {
            HandleState handle = _handles[(_turn + i) % _handles.Count];
            while (handle.Queue.Count > 0)
            {
                StressRequest next = (fault == Fault.LastInFirstOut ? handle.Queue.Last : handle.Queue.First)!.Value;
                handle.Queue.Remove(next);
                if (handle.Left.Remove(next))
                {
                    if (fault == Fault.GrantsWhoHasLeft)
                    {
                        return next;
                    }

                    continue;
                }

                handle.Queued--;
                _turn = (_turn + i + 1) % _handles.Count;
                return next;
            }
        }

        return null;
    }

    private sealed class HandleState
    {
        public int MaxQueued { get; set; }

        public int Queued { get; set; }

        public LinkedList<StressRequest> Queue { get; } = new();

        public HashSet<StressRequest> Left { get; } = [];

        public SubjectCounts Counts { get; set; }
    }

    private sealed class ReplicaState
    {
        public int Limit { get; set; }

        public int Ongoing { get; set; }
    }
}
