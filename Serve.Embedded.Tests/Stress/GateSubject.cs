using System.Collections.Concurrent;
using System.Threading.Tasks.Sources;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Handles;
using Serve.Embedded.Tests.Simulation;

namespace Serve.Embedded.Tests.Stress;

/// <summary>The real gate. Continuations run where the wait was ended, so that the harness sees grants in their order.</summary>
internal sealed class GateSubject : AdmissionSubject
{
    private static readonly CallRoute[] Sessions = [.. Enumerable.Range(0, 7).Select(static i => new CallRoute(null, $"s{i}", null))];
    private static readonly CallRoute Model = new("m", null, null);

    /// <summary>A wait may end before its arrival knows of it: whoever of the two comes second tells the request.</summary>
    private readonly ConcurrentDictionary<IThreadPoolWorkItem, StressRequest?> _meeting = new();
    private readonly ManualTimeProvider _clock = new();
    private readonly AdmissionGate _gate;
    private Handle[] _handles = [];
    private Replica[] _replicas = [];

    public GateSubject(int seed) =>
        _gate = new(new ServeEnvironment(_clock, new SeededRandom((ulong)seed), Resume, NullLoggerFactory.Instance));

    public override int Waiting => _gate.Waiting;

    public override int Shown => _gate.InOrder;

    public override int Free => _gate.Free;

    public override void AddHandle(int maxQueued) => Volatile.Write(ref _handles, [.. _handles, _gate.AddHandle(maxQueued)]);

    public override void SetMaxQueued(int handle, int maxQueued) => _handles[handle].MaxQueued = maxQueued;

    public override int Queued(int handle) => _handles[handle].Queued;

    public override SubjectCounts Counts(int handle)
    {
        HandleCounts counts = _handles[handle].Counts;
        return new(counts.Arrived, counts.Started, counts.Shed, counts.Completed, counts.Cancelled);
    }

    public override void AddReplica(int limit)
    {
        Replica replica = TestGate.NewReplica($"{_replicas.Length}", _clock);
        Volatile.Write(ref _replicas, [.. _replicas, replica]);
        _gate.AddReplica(replica, limit);
    }

    public override void Resize(int replica, int limit) => _gate.Resize(_replicas[replica], limit);

    public override void RemoveReplica(int replica) => _gate.RemoveReplica(_replicas[replica]);

    public override int Ongoing(int replica) => _replicas[replica].Permits.Ongoing;

    public override ModelDecision Admit(StressRequest request, out int replica)
    {
        Admission admission = _gate.Admit(_handles[request.Handle], Route(request.Number));
        replica = -1;
        switch (admission.Kind)
        {
            case AdmissionKind.Run:
                request.Token = new Box(admission.Lease);
                replica = Number(admission.Lease.Replica);
                return ModelDecision.Run;
            case AdmissionKind.Wait:
                request.Token = admission.Waiter;
                if (!_meeting.TryAdd(admission.Waiter!, request))
                {
                    _meeting.TryRemove(admission.Waiter!, out _);
                    Ended(request);
                }

                return ModelDecision.Wait;
            case AdmissionKind.Refused:
                return ModelDecision.Refused;
            default:
                return ModelDecision.Unavailable;
        }
    }

    public override bool TryLeave(StressRequest request) => ((Waiter)request.Token!).TryLeave(WaitEnd.Cancelled);

    public override void Release(StressRequest request, int replica) =>
        (request.Token is Waiter waiter ? waiter.Lease : ((Box)request.Token!).Lease).End(RequestEnd.Completed);

    /// <summary>What a request prefers may change nothing of what the invariants promise: none, a session, a model, or a ranking of replicas that may be gone already.</summary>
    private CallRoute? Route(long number) => (number % 4) switch
    {
        1 => Sessions[number % Sessions.Length],
        2 => Model,
        3 => new(null, null, [.. Volatile.Read(ref _replicas).Skip((int)(number % 3)).Take(2)]),
        _ => null,
    };

    private void Resume(IThreadPoolWorkItem item)
    {
        // Throws if the same wait ends twice.
        item.Execute();
        if (!_meeting.TryAdd(item, null) && _meeting.TryRemove(item, out StressRequest? request))
        {
            Ended(request!);
        }
    }

    private static int Number(Replica replica) => int.Parse(replica.Id, System.Globalization.CultureInfo.InvariantCulture);

    private static void Ended(StressRequest request)
    {
        Waiter waiter = (Waiter)request.Token!;
        if (((IValueTaskSource<WaitEnd>)waiter).GetResult(0) == WaitEnd.Granted)
        {
            request.Granted(Number(waiter.Lease.Replica));
        }
    }

    private sealed record Box(RequestLease Lease);
}
