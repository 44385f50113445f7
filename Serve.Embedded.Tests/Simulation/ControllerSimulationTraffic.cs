using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Proxy;
using Serve.Embedded.Replicas;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>
/// Requests: they arrive as the proxy's do, wait, run, call the back of their application, end in every way there is. Admission is the real one, and so are the calls from code.
/// </summary>
internal sealed class ControllerSimulationTraffic(ControllerSimulationWorld world)
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(3);

    private readonly HashSet<SimulatedRequest> _open = [];
    private RouteTable _routes = new(ServingSnapshot.Empty);
    private bool _callsNow;

    /// <summary>A replica has one request fewer.</summary>
    public Action<SimulatedReplica> OneFewer { get; set; } = _ => { };

    /// <summary>Somebody may wait for a deployment that has no replica, of which the gate tells the controller.</summary>
    public Action Starves { get; set; } = () => { };

    public int Open => _open.Count;

    public long Completed { get; private set; }

    public long Arrived { get; private set; }

    public long Calls { get; private set; }

    public void Arrive()
    {
        // Each prefix in turn is quiet for so long that what follows its load goes down to nothing.
        int at = world.Random.Next(ControllerSimulationGoals.Prefixes.Length);
        long quiet = world.Clock.Now / Quiet.Ticks % (ControllerSimulationGoals.Prefixes.Length + 1);
        if (at == quiet || !Routes().TryMatch(ControllerSimulationGoals.Prefixes[at], out ServedApplication? application))
        {
            return;
        }

        SimulatedRequest request = new(world, application, Finish) { Hangs = world.Chance(400), IsStubborn = world.Chance(10) };
        Arrived++;
        _open.Add(request);
        TimeSpan? timeout = application.RequestTimeout ?? (world.Chance(5) ? world.Milliseconds(10, 500) : null);
        if (timeout is { } time)
        {
            world.Clock.Schedule(time, () => Interrupt(request, RequestEnd.TimedOut));
        }

        if (world.Chance(10))
        {
            world.Clock.Schedule(world.Milliseconds(0, 200), () => Interrupt(request, RequestEnd.Cancelled));
        }

        Admit(request);
    }

    /// <summary>What the product hands to its dispatcher: the continuation of a wait that has ended, well or not.</summary>
    public void Resume(IThreadPoolWorkItem item)
    {
        Waiter waiter = (Waiter)item;
        if (waiter.Lease.Replica is { } replica)
        {
            CheckAdmitted(replica);
            world.Replicas[replica].Granted++;
        }

        world.Clock.Schedule(TimeSpan.FromMicroseconds(world.Random.Next(200)), item.Execute);
    }

    public ValueTask<string> BackBegins(SimulatedHandler handler, CancellationToken cancellationToken)
    {
        Calls++;
        SimulatedReplica replica = handler.Replica;
        if (_callsNow)
        {
            CheckAdmitted(replica.Replica);
        }
        else
        {
            replica.Granted--;
        }

        SimulatedCall call = new(world, replica, OneFewer) { Hangs = world.Chance(400), IsStubborn = world.Chance(10) };
        return new(call.Begin(cancellationToken));
    }

    /// <summary>Whoever hangs goes on.</summary>
    public void Heal()
    {
        foreach (ISimulatedWork work in world.Replicas.Values.SelectMany(r => r.Work).ToList())
        {
            work.Cancel(mustListen: true);
        }
    }

    /// <summary>Whoever still waits has had enough.</summary>
    public void Leave()
    {
        foreach (SimulatedRequest request in _open.ToList())
        {
            Interrupt(request, RequestEnd.Cancelled);
            if (request.Replica is not null)
            {
                request.Cancel(mustListen: true);
            }
        }
    }

    private RouteTable Routes()
    {
        ServingSnapshot now = world.Serving.Current;
        if (_routes.Snapshot != now)
        {
            _routes = new(now);
        }

        return _routes;
    }

    private void Admit(SimulatedRequest request)
    {
        Handle handle = request.Application.Handle;
        AdmissionGate gate = request.Application.Ingress.Gate;
        bool mayRun = gate.Free > 0 && gate.Waiting == 0;
        Asks(gate);
        Admission admission = gate.Admit(handle);
        world.Trace("admit", request.Application.Name, (int)admission.Kind);
        world.Check(
            mayRun == (admission.Kind == AdmissionKind.Run), Invariant.WorkConserving,
            () => $"A request of '{request.Application.Name}' was decided {admission.Kind} while {gate.Waiting} wait and {gate.Free} permits are free.");
        switch (admission.Kind)
        {
            case AdmissionKind.Run:
                CheckAdmitted(admission.Lease.Replica);
                Run(request, admission.Lease);
                break;
            case AdmissionKind.Wait:
                world.Check(handle.Queued <= handle.MaxQueued, Invariant.LimitsHold, () => $"{handle.Queued} wait where {handle.MaxQueued} may.");
                Wait(request, admission.Waiter!);
                break;
            case AdmissionKind.Refused:
                world.Check(
                    handle.Queued >= handle.MaxQueued, Invariant.LimitsHold, () => $"A request was refused while {handle.Queued} wait where {handle.MaxQueued} may.");
                request.Application.Ingress.LogRefusal(request.Application.Ingress.QueueFull(admission.Queued));
                End(request);
                break;
            default:
                Unavailable(request, wasDecidedNow: true);
                break;
        }
    }

    /// <summary>As the proxy does it: where another deployment has meanwhile taken its place, that one serves.</summary>
    private void Unavailable(SimulatedRequest request, bool wasDecidedNow)
    {
        ServedApplication? now = Routes().Routes.FirstOrDefault(a => a.Name == request.Application.Name);
        if (now is not null && now.Ingress != request.Application.Ingress)
        {
            request.Application = now;
            Admit(request);
            return;
        }

        int serving = request.Application.Ingress.Gate.Replicas.Length;
        world.Check(
            !wasDecidedNow || now is null || serving == 0, Invariant.ServesWhatItCan,
            () => $"A request of '{request.Application.Name}' was told that nothing can run it, while {serving} replicas serve.");
        End(request);
    }

    private void Wait(SimulatedRequest request, Waiter waiter)
    {
        request.Waiter = waiter;
        ServedDeployment deployment = request.Application.Ingress;
        if (deployment.Limits.MaxQueueWait is { } most)
        {
            world.Clock.Schedule(most, () => waiter.TryLeave(WaitEnd.QueueTimedOut));
        }

        System.Runtime.CompilerServices.ValueTaskAwaiter<WaitEnd> wait = waiter.Ended.GetAwaiter();
        wait.UnsafeOnCompleted(() =>
        {
            WaitEnd end = wait.GetResult();
            request.Waiter = null;
            world.Trace("resumed", request.Application.Name, (int)end);
            switch (end)
            {
                case WaitEnd.Granted:
                    world.Replicas[waiter.Lease.Replica].Granted--;
                    Run(request, waiter.Lease);
                    break;
                case WaitEnd.Unavailable:
                    Unavailable(request, wasDecidedNow: false);
                    break;
                case WaitEnd.QueueTimedOut:
                    deployment.LogRefusal(deployment.WaitedTooLong(TimeSpan.Zero));
                    End(request);
                    break;
                default:
                    End(request);
                    break;
            }
        });
    }

    private void Run(SimulatedRequest request, RequestLease lease)
    {
        SimulatedReplica replica = world.Replicas[lease.Replica];
        request.Lease = lease;
        request.Replica = replica;
        replica.Work.Add(request);
        if (request.Cause is not null)
        {
            Finish(request);
            return;
        }

        if (replica.IsCancelled)
        {
            // It was granted, and the replica told to stop, before it could look: it runs with a token that is cancelled already.
            request.Cancel(mustListen: false);
        }

        if (replica.Handler!.Calls is not null && world.Random.Next(5) < 2)
        {
            world.Clock.Schedule(world.Milliseconds(0, 5), () => Call(request, replica.Handler));
        }
        else
        {
            world.Clock.Schedule(request.Hangs ? world.Milliseconds(5_000, 30_000) : world.Milliseconds(0, 20), () => Finish(request));
        }
    }

    private async void Call(SimulatedRequest request, SimulatedHandler handler)
    {
        if (request.HasEnded)
        {
            return;
        }

        request.IsCalling = true;
        bool waited = false;
        try
        {
            Asks(request.Replica!.Siblings["Back"].Gate);
            _callsNow = true;
            ValueTask<string> answer = handler.Calls!(request.Token);
            _callsNow = false;
            waited = !answer.IsCompleted;
            await answer;
        }
        catch (BackPressureException)
        {
            request.Fails = true;
        }
        catch (OperationCanceledException)
        {
            request.Fails = true;
        }
        catch (DeploymentUnavailableException)
        {
            request.Fails = true;
            if (!waited)
            {
                CheckBackIsGone(request, handler);
            }
        }
#pragma warning disable CA1031 // Nobody awaits this; the simulation's next look at everything reports it.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            world.Failure ??= exception;
        }
        finally
        {
            _callsNow = false;
            request.IsCalling = false;
        }

        world.Clock.Schedule(world.Milliseconds(0, 5), () => Finish(request));
    }

    /// <summary>As long as a replica serves, so does what it calls; only a back of which nothing runs may say that it is unavailable.</summary>
    private void CheckBackIsGone(SimulatedRequest request, SimulatedHandler caller)
    {
        SimulatedReplica replica = caller.Replica;
        ServedDeployment called = replica.Siblings["Back"];
        DeploymentState? back = world.Deployments.Keys.FirstOrDefault(d => d.Served == called);
        bool mayFail = !replica.Replica.State.TakesRequests() || replica.Deployment.Retirement != Retirement.None ||
            ((back?.Retirement == Retirement.None || world.LeftOut.Contains(called.Gate)) && called.Gate.Replicas.Length == 0);
        world.Failure ??= mayFail ? null : world.Fault(
            Invariant.ServesWhatItCan,
            $"Replica {replica.Replica.Id} of '{request.Application.Name}' was told that its back is unavailable, while {called.Gate.Replicas.Length} replicas of it serve and its way out is {back?.Retirement}.");
    }

    /// <summary>Somebody comes; where nobody waits and there is no replica, he is to wake one.</summary>
    private void Asks(AdmissionGate gate)
    {
        if (gate.Waiting == 0 && gate.Replicas.Length == 0)
        {
            world.Asked.Add(gate);
            Starves();
        }
    }

    private static void Interrupt(SimulatedRequest request, RequestEnd cause)
    {
        if (request.HasEnded || request.Cause is not null)
        {
            return;
        }

        if (request.Waiter is { } waiter)
        {
            if (!waiter.TryLeave(cause == RequestEnd.TimedOut ? WaitEnd.TimedOut : WaitEnd.Cancelled))
            {
                request.Cause = cause;
            }
        }
        else
        {
            request.Cause = cause;
            request.Cancel(mustListen: false);
        }
    }

    private void Finish(SimulatedRequest request)
    {
        if (request.HasEnded || request.IsCalling)
        {
            return;
        }

        world.Trace("end", request.Replica!.Replica.Id);
        request.Replica.Work.Remove(request);
        End(request);
        Completed++;
        world.Sabotage.EndLease(request.Lease, request.Cause ?? (request.Fails ? RequestEnd.Failed : RequestEnd.Completed));
        OneFewer(request.Replica);
    }

    private void End(SimulatedRequest request)
    {
        world.Check(_open.Remove(request) && !request.HasEnded, Invariant.NoneLostOrRepeated, () => $"A request of '{request.Application.Name}' ended twice.");
        request.HasEnded = true;
    }

    private void CheckAdmitted(Replica replica)
    {
        world.Check(replica.State.TakesRequests(), Invariant.OnlyRunningServe, () => $"Replica {replica.Id} was given a request while it is {replica.State}.");
        world.Check(
            replica.Permits.Ongoing <= replica.Permits.Limit, Invariant.LimitsHold, () => $"Replica {replica.Id} was given request {replica.Permits.Ongoing} of {replica.Permits.Limit}.");
    }
}

/// <summary>One request over HTTP.</summary>
internal sealed class SimulatedRequest(ControllerSimulationWorld world, ServedApplication application, Action<SimulatedRequest> finish) : ISimulatedWork
{
    private readonly CancellationTokenSource _cancel = new();

    public ServedApplication Application { get; set; } = application;

    public Waiter? Waiter { get; set; }

    public RequestLease Lease { get; set; }

    public SimulatedReplica? Replica { get; set; }

    /// <summary>Why it ends early.</summary>
    public RequestEnd? Cause { get; set; }

    public bool Hangs { get; init; }

    public bool IsStubborn { get; init; }

    public bool IsCalling { get; set; }

    public bool Fails { get; set; }

    public bool HasEnded { get; set; }

    public CancellationToken Token => _cancel.Token;

    public void Cancel(bool mustListen)
    {
        if (IsStubborn && !mustListen)
        {
            return;
        }

        _cancel.Cancel();
        if (Replica is not null)
        {
            world.Clock.Schedule(world.Milliseconds(0, 10), () => finish(this));
        }
    }
}

/// <summary>One call from code that runs on a replica.</summary>
internal sealed class SimulatedCall(ControllerSimulationWorld world, SimulatedReplica replica, Action<SimulatedReplica> oneFewer) : ISimulatedWork
{
    private readonly TaskCompletionSource<string> _answer = new();

    public bool Hangs { get; init; }

    public bool IsStubborn { get; init; }

    public Task<string> Begin(CancellationToken cancellationToken)
    {
        replica.Work.Add(this);
        CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(static call => ((SimulatedCall)call!).Cancel(mustListen: false), this);
        _ = registration;
        if (replica.IsCancelled)
        {
            Cancel(mustListen: false);
        }

        world.Clock.Schedule(Hangs ? world.Milliseconds(5_000, 30_000) : world.Milliseconds(0, 15), End);
        return _answer.Task;
    }

    public void Cancel(bool mustListen)
    {
        if (!IsStubborn || mustListen)
        {
            world.Clock.Schedule(world.Milliseconds(0, 10), End);
        }
    }

    private void End()
    {
        if (_answer.Task.IsCompleted)
        {
            return;
        }

        // The caller's continuation, which gives the permit back, runs on this stack.
        replica.Work.Remove(this);
        _answer.SetResult("answer");
        oneFewer(replica);
    }
}
