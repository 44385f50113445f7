using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>
/// Random arrivals, departures, ends, and changes of everything that can change, on one thread and from a seed: after every step the gate is what the model is.
/// <c>SERVE_STRESS_SEED</c> replays a seed that a failure printed.
/// </summary>
public sealed class AdmissionSimulationTests
{
    private const int EventsPerSeed = 80_000;

    public static TheoryData<int> Seeds() => Environment.GetEnvironmentVariable("SERVE_STRESS_SEED") is { } seed
        ? [int.Parse(seed, System.Globalization.CultureInfo.InvariantCulture)]
        : [1, 2, 20261124];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Admission_RandomEvents_EqualsTheModelAfterEach(int seed)
    {
        AdmissionSimulation simulation = new(seed);
        for (int step = 0; step < EventsPerSeed; step++)
        {
            string did = simulation.Step();
            if (simulation.Difference() is { } difference)
            {
                Assert.Fail($"SERVE_STRESS_SEED={seed}, step {step} ({did}): {difference}");
            }
        }

        Assert.Empty(simulation.NeverSeen);
    }

    [Fact]
    public void Admission_SameSeed_IsTheSameRun() => Assert.Equal(Log(7), Log(7));

    [Fact]
    public void Admission_AnotherSeed_IsAnotherRun() => Assert.NotEqual(Log(7), Log(8));

    private static List<string> Log(int seed)
    {
        AdmissionSimulation simulation = new(seed);
        return [.. Enumerable.Range(0, 2000).Select(_ => simulation.Step())];
    }
}

/// <summary>The gate and the model side by side, one random event at a time.</summary>
internal sealed class AdmissionSimulation(int seed)
{
    private const int MostHandles = 5;
    private const int MostReplicas = 6;

    private readonly TestGate _test = new((ulong)seed);
    private readonly SeededRandom _random = new((ulong)seed * 31);
    private readonly AdmissionModel _model = new();
    private readonly List<(Handle Real, ModelHandle Model)> _handles = [];
    private readonly List<(Handle Real, ModelHandle Model)> _former = [];
    private readonly Dictionary<Replica, ModelReplica> _replicas = [];
    private readonly Dictionary<int, (Waiter Waiter, ModelHandle Handle)> _waiting = [];
    private readonly List<(RequestLease Lease, ModelHandle Handle)> _running = [];
    private readonly HashSet<string> _kinds = [];
    private int _requests;
    private string? _wrong;

    /// <summary>How busy it is changes, so that queues are empty, full and in between.</summary>
    private int _arrivalsInTen = 5;

    /// <summary>Kinds of event that have not happened yet: a simulation without them says less than it seems to.</summary>
    public IEnumerable<string> NeverSeen =>
        new[] { "handle+", "handle-", "replica+", "replica-", "resize", "queue", "unavailable", "available", "pace", "leave", "end", "Run", "Wait", "Refused", "Unavailable" }.Except(_kinds);

    public string Step()
    {
        string did = Act();
        _kinds.Add(did.Split(' ')[did.StartsWith("arrive", StringComparison.Ordinal) ? 2 : 0]);
        _model.Pass();
        Settle();
        return did;
    }

    /// <summary>What is not as the model says; <see langword="null"/> if nothing.</summary>
    public string? Difference()
    {
        if (_wrong is not null)
        {
            return _wrong;
        }

        (int, int, int, int) all = (_test.Gate.Waiting, _test.Gate.InOrder, _test.Gate.Free, _test.Gate.Handles.Length);
        if (all != (_model.Waiting, _model.Waiting, _model.Free, _model.Listed))
        {
            return $"waiting, in order, free, handles: {all} is not {(_model.Waiting, _model.Waiting, _model.Free, _model.Listed)}";
        }

        foreach ((Replica real, ModelReplica model) in _replicas)
        {
            int issued = Math.Max(model.Limit, model.Ongoing);
            if ((real.Permits.Ongoing, real.Permits.Limit, real.Permits.Issued) != (model.Ongoing, model.Limit, issued))
            {
                return $"{real.Id}: ongoing, limit, issued {(real.Permits.Ongoing, real.Permits.Limit, real.Permits.Issued)} is not {(model.Ongoing, model.Limit, issued)}";
            }
        }

        foreach ((Handle real, ModelHandle model) in _handles.Concat(_former))
        {
            (int, long, long, long, long, long) r = (real.Queued, real.Counts.Arrived, real.Counts.Started, real.Counts.Shed, real.Counts.Completed, real.Counts.Cancelled);
            (int, long, long, long, long, long) m = (model.Queue.Count, model.Arrived, model.Started, model.Shed, model.Completed, model.Cancelled);
            if (r != m)
            {
                return $"queued, arrived, started, shed, completed, cancelled: {r} is not {m}";
            }
        }

        return null;
    }

    private string Act()
    {
        int dice = _random.Next(1000);
        if (_handles.Count == 0 || dice < 3)
        {
            return AddHandle();
        }

        return dice switch
        {
            < 6 => RemoveHandle(),
            < 12 => AddReplica(),
            < 18 => RemoveReplica(),
            < 40 => Resize(),
            < 55 => SetMaxQueued(),
            < 58 => SetUnavailable(),
            < 65 => ChangePace(),
            < 200 => Leave(),
            _ => _random.Next(10) < _arrivalsInTen ? Arrive() : End(),
        };
    }

    private string AddHandle()
    {
        if (_handles.Count == MostHandles)
        {
            return "full of handles";
        }

        int maxQueued = _random.Next(25);
        ModelHandle model = new() { MaxQueued = maxQueued };
        _model.Add(model);
        _handles.Add((_test.Gate.AddHandle(maxQueued), model));
        return $"handle+ {maxQueued}";
    }

    private string RemoveHandle()
    {
        (Handle real, ModelHandle model) = Pick(_handles);
        _handles.Remove((real, model));
        _former.Add((real, model));
        if (_former.Count > MostHandles)
        {
            _former.RemoveAt(0);
        }

        _model.Close(model);
        _test.Gate.RemoveHandle(real);
        return "handle-";
    }

    private string AddReplica()
    {
        if (_replicas.Count >= MostReplicas)
        {
            return "full of replicas";
        }

        int limit = _random.Next(1, 6);
        Replica real = _test.NewReplica();
        ModelReplica model = new() { Limit = limit };
        _replicas.Add(real, model);
        _model.Replicas.Add(model);
        _test.Gate.AddReplica(real, limit);
        return $"replica+ {limit}";
    }

    private string RemoveReplica()
    {
        if (_test.Gate.Replicas.Length == 0)
        {
            return "no replica";
        }

        Replica real = _test.Gate.Replicas[_random.Next(_test.Gate.Replicas.Length)];
        _replicas[real].Limit = 0;
        _test.Gate.RemoveReplica(real);
        return $"replica- {real.Id}";
    }

    private string Resize()
    {
        if (_test.Gate.Replicas.Length == 0)
        {
            return "no replica";
        }

        Replica real = _test.Gate.Replicas[_random.Next(_test.Gate.Replicas.Length)];
        int limit = _random.Next(8);
        _replicas[real].Limit = limit;
        _test.Gate.Resize(real, limit);
        return $"resize {real.Id} {limit}";
    }

    private string SetMaxQueued()
    {
        (Handle real, ModelHandle model) = Pick(_handles);
        model.MaxQueued = _random.Next(40);
        real.MaxQueued = model.MaxQueued;
        return $"queue {model.MaxQueued}";
    }

    private string SetUnavailable()
    {
        bool unavailable = !_model.Unavailable && _random.Next(3) == 0;
        _model.SetUnavailable(unavailable);
        _test.Gate.SetUnavailable(unavailable);
        return unavailable ? "unavailable" : "available";
    }

    private string ChangePace()
    {
        _arrivalsInTen = _random.Next(2, 9);
        return $"pace {_arrivalsInTen}";
    }

    private string Leave()
    {
        if (_waiting.Count == 0)
        {
            return "nobody waits";
        }

        (int request, (Waiter waiter, ModelHandle handle)) = _waiting.ElementAt(_random.Next(_waiting.Count));
        bool left = waiter.TryLeave(WaitEnd.Cancelled);
        if (left != _model.Leave(handle, request))
        {
            _wrong = $"request {request}: left = {left}, and the model says the opposite";
        }

        _waiting.Remove(request);
        return $"leave {request}";
    }

    private string Arrive()
    {
        // Now and then through a handle that is closed.
        (Handle real, ModelHandle model) = _former.Count > 0 && _random.Next(50) == 0 ? Pick(_former) : Pick(_handles);
        int request = _requests++;
        Admission admission = _test.Gate.Admit(real);
        ModelDecision expected = _model.Arrive(model, request);
        if (admission.Kind.ToString() != expected.ToString())
        {
            _wrong = $"request {request}: {admission.Kind} is not {expected}";
        }

        switch (admission.Kind)
        {
            case AdmissionKind.Run:
                Started(admission.Lease, model);
                break;
            case AdmissionKind.Wait:
                _waiting.Add(request, (admission.Waiter!, model));
                break;
            case AdmissionKind.Refused when admission.Queued != model.Queue.Count:
                _wrong = $"request {request} was told that {admission.Queued} wait, not {model.Queue.Count}";
                break;
        }

        return $"arrive {request} {admission.Kind}";
    }

    private string End()
    {
        if (_running.Count == 0)
        {
            return "nothing runs";
        }

        int index = _random.Next(_running.Count);
        (RequestLease lease, ModelHandle handle) = _running[index];
        _running.RemoveAt(index);
        ModelReplica replica = _replicas[lease.Replica];
        replica.Ongoing--;
        handle.Completed++;
        lease.End(RequestEnd.Completed);
        if (replica is { Ongoing: 0, Limit: 0 } && !_test.Gate.Replicas.Contains(lease.Replica))
        {
            _replicas.Remove(lease.Replica);
            _model.Replicas.Remove(replica);
        }

        return $"end {lease.Replica.Id}";
    }

    /// <summary>Who the model says was granted or ended must have been, in that order, and nobody else.</summary>
    private void Settle()
    {
        List<Waiter> granted = [];
        while (_model.Granted.TryDequeue(out int request))
        {
            (Waiter waiter, ModelHandle handle) = _waiting[request];
            _waiting.Remove(request);
            if (waiter.IsWaiting)
            {
                _wrong ??= $"request {request} still waits, and the model says it runs";
                continue;
            }

            granted.Add(waiter);
            Started(waiter.Lease, handle);
        }

        foreach (int request in _model.Ended)
        {
            _wrong ??= _waiting[request].Waiter.IsWaiting ? $"request {request} still waits, and nothing can run it" : null;
            _waiting.Remove(request);
        }

        _model.Ended.Clear();
        if (!_test.RunResumed().Where(w => TestGate.EndOf(w) == WaitEnd.Granted).SequenceEqual(granted))
        {
            _wrong ??= $"not the {granted.Count} that the model granted, in its order";
        }
    }

    private void Started(RequestLease lease, ModelHandle handle)
    {
        ModelReplica replica = _replicas[lease.Replica];
        if (++replica.Ongoing > replica.Limit)
        {
            _wrong ??= $"{lease.Replica.Id} was given a request above its limit of {replica.Limit}";
        }

        _running.Add((lease, handle));
    }

    private T Pick<T>(List<T> list) => list[_random.Next(list.Count)];
}
