using Microsoft.AspNetCore.Http;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using TheController = Serve.Embedded.Controller.Controller;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>
/// The real controller and the real admission code on one thread, under simulated time, with everything random that happens to a server: requests, changes of its configuration, replicas that do
/// not start, fall ill or hang. Rounds of chaos end in rounds of healing, after which everything must run as it was asked for.
/// </summary>
internal sealed class ControllerSimulation
{
    private const int EventsPerRound = 6_000;

    private static readonly TimeSpan MostHealing = TimeSpan.FromSeconds(240);

    /// <summary>How long a request waits for a deployment of which the box holds no replica.</summary>
    private static readonly TimeSpan MostPatience = TimeSpan.FromSeconds(30);

    private readonly ControllerSimulationWorld _world;
    private readonly ControllerSimulationTraffic _traffic;
    private readonly ControllerSimulationGoals _goals;
    private readonly ControllerSimulationChecks _checks;
    private readonly ControllerSimulationLog _log = new();
    private readonly ControllerSimulationActs _acts;
    private readonly TheController _controller;
    private readonly List<ApplyRequest> _applies = [];
    private IReadOnlyList<ApplicationGoal> _wanted = [];
    private bool _steps;
    private bool _isDown;

    public ControllerSimulation(ulong seed, Sabotage? sabotage = null)
    {
        _world = new(seed, sabotage ?? new());
        _traffic = new(_world);
        _goals = new(_world.Random);
        _world.Box = _goals.Box();
        _checks = new(_world);
        ServeEnvironment environment = new(_world.Clock, new SeededRandom(seed + 1), _traffic.Resume, _log);
        ControllerSimulationActs? acts = null;
        _controller = new(Registry(), _world.Serving, environment, tell => acts = new(_world, message =>
        {
            tell(message);
            StepSoon();
        }));
        _acts = acts!;
        _traffic.OneFewer = _acts.EndIfIdle;
        _traffic.Starves = StepSoon;
    }

    public ulong TraceHash => _world.TraceHash;

    public long Events => _world.Events;

    public string Summary => $"{_world.Events} events, {_traffic.Arrived} requests, {_traffic.Calls} calls, {_checks.Seen} replicas, {Scaling.Scaled} times scaled, {Scaling.Woken} times woken, {Scaling.HeldBack} times held back";

    public ControllerSimulationScaling Scaling => _checks.Scaling;

    /// <summary>Runs at least so many events.</summary>
    /// <exception cref="ControllerSimulationFault">An invariant was broken.</exception>
    public void Run(long events)
    {
        while (_world.Events < events)
        {
            Chaos();
            Heal();
        }

        Shutdown();
    }

    private DeploymentRegistry Registry()
    {
        DeploymentRegistry registry = new();
        foreach (string policy in ControllerSimulationPolicy.Names)
        {
            registry.AddAutoscalingPolicy(policy, new ControllerSimulationPolicy(_world, policy));
        }

        foreach (string importPath in ControllerSimulationGoals.ImportPaths[..3])
        {
            registry.AddApplication(importPath, app => app
                .Add<HttpRequest, string>("Front", c => Front(c, "call"))
                .Add<string, string>("Back", _ => Back<string>()));
        }

        return registry
            .AddApplication("test:other", app => app
                .Add<HttpRequest, string>("Front", c => Front(c, 1))
                .Add<int, string>("Back", _ => Back<int>()))
            .AddApplication("test:solo", app => app.Add<HttpRequest, string>("Front", _ => (SimulatedFront)_acts.Created(new SimulatedFront())));
    }

    private SimulatedFront Front<T>(DeploymentContext context, T call)
    {
        DeploymentHandle<T, string> back = context.GetHandle<T, string>("Back");
        return (SimulatedFront)_acts.Created(new SimulatedFront { Calls = token => back.CallAsync(call, token) });
    }

    private SimulatedBack<T> Back<T>() => (SimulatedBack<T>)_acts.Created(new SimulatedBack<T>(_traffic.BackBegins));

    private void Chaos()
    {
        _world.Heals = false;
        long until = _world.Events + EventsPerRound;
        ArriveSoon();
        ChangeSoon();
        MisfortuneSoon();
        while (_world.Events < until)
        {
            Next();
        }
    }

    private void ArriveSoon()
    {
        if (!_world.Heals)
        {
            // Calm and storm take turns.
            bool storm = (_world.Clock.Now / TimeSpan.TicksPerSecond) % 3 == 0;
            _world.Clock.Schedule(_world.Milliseconds(0, storm ? 4 : 20), () =>
            {
                if (!_world.Heals)
                {
                    _traffic.Arrive();
                    ArriveSoon();
                }
            });
        }
    }

    private void ChangeSoon() => _world.Clock.Schedule(_world.Chance(2) ? _world.Milliseconds(0, 300) : _world.Milliseconds(300, 4_000), () =>
    {
        if (!_world.Heals)
        {
            if (_world.Chance(4))
            {
                _world.Box = _goals.Box();
            }

            // An unchanged goal is asked for again, too.
            Apply(new ApplyRequest(_world.Chance(6) ? _wanted : _goals.Next(_wanted), Force: _world.Chance(6), Atomic: _world.Chance(6)));
            ChangeSoon();
        }
    });

    private void MisfortuneSoon() => _world.Clock.Schedule(_world.Milliseconds(0, 2_000), () =>
    {
        if (!_world.Heals)
        {
            if (_world.Random.Next(3) == 0)
            {
                _acts.ToggleBroken(ControllerSimulationGoals.ImportPaths[_world.Random.Next(5)], _world.Random.Next(2) == 0 ? "Front" : "Back");
            }
            else if (_world.Replicas.Count > 0)
            {
                _world.Replicas.Values.ElementAt(_world.Random.Next(_world.Replicas.Count)).IsIll = true;
            }

            MisfortuneSoon();
        }
    });

    private Task<ApplyOutcome> Apply(ApplyRequest request)
    {
        request = request with { Box = _world.Box };
        _world.Trace(request.Force ? "force" : request.Atomic ? "atomic" : "apply", string.Join(",", request.Goals.Select(Describe)));
        _wanted = request.Goals;
        _applies.Add(request);
        Task<ApplyOutcome> settled = _controller.ApplyAsync(request);
        StepSoon();
        return settled;
    }

    private void Heal()
    {
        _world.Heals = true;
        _acts.Heal();
        _traffic.Heal();
        LeaveLater();
        RunUntil(() => HasSettled() is null, "what was asked for last, or what was good before, runs", HasSettled);
        _applies.Clear();

        // Whatever has failed before: now that all is well, the operator gets what he asks for.
        Task<ApplyOutcome> applied = Apply(new ApplyRequest(_wanted, Force: true));
        RunUntil(() => applied.IsCompleted && IsWanted() is null, "what is forced runs", () => applied.IsCompleted ? IsWanted() : "the apply has not ended");
        _applies.Clear();
        Rest();
        _world.Check(
            _world.Clock.ArmedTimers <= 1, Invariant.NothingLeaks, () => $"{_world.Clock.ArmedTimers} timers are armed while nothing happens but health checks.");
    }

    /// <summary>Only where the box is too small, nobody can be waited for.</summary>
    private void LeaveLater() => _world.Clock.Schedule(MostPatience, () =>
    {
        if (_world.Heals && _traffic.Open > 0)
        {
            if (_controller.Deployments.Any(d => d is { NumReplicas: 0, HeldBack: not null }))
            {
                _traffic.Leave();
            }

            LeaveLater();
        }
    });

    private void Rest()
    {
        long until = _world.Clock.Now + TimeSpan.FromSeconds(20).Ticks;
        bool rested = false;
        _world.Clock.Schedule(TimeSpan.FromTicks(until - _world.Clock.Now), () => rested = true);
        while (!rested)
        {
            Next();
        }
    }

    private void Shutdown()
    {
        Task down = _controller.ShutdownAsync();
        StepSoon();
        RunUntil(() => down.IsCompleted && _isDown, "the server is down", () => $"{_world.Replicas.Count} replicas are left");
        _world.Check(
            _world.Replicas.Count == 0 && _world.Clock.ArmedTimers == 0 && _acts.Pending == 0 && _traffic.Open == 0 && _world.Serving.Current.Applications.Count == 0,
            Invariant.NothingLeaks,
            () => $"After the shutdown {_world.Replicas.Count} replicas, {_world.Clock.ArmedTimers} timers, {_acts.Pending} acts and {_traffic.Open} requests are left.");
    }

    private void RunUntil(Func<bool> done, string what, Func<string?> whyNot)
    {
        long until = _world.Clock.Now + MostHealing.Ticks;
        long looked = _world.Clock.Now;
        while (true)
        {
            // To look at everything after every event would cost more than the events.
            if (_world.Clock.Now - looked > TimeSpan.TicksPerMillisecond * 20)
            {
                looked = _world.Clock.Now;
                if (done())
                {
                    return;
                }
            }

            bool happened = Next();
            if (!happened && done())
            {
                return;
            }

            _world.Check(
                happened && _world.Clock.Now <= until, Invariant.Settles,
                () => $"After {MostHealing.TotalSeconds} s in which nothing failed it is not true that {what}: {whyNot()}. Status: {_checks.Describe(_controller.Status)}");
        }
    }

    private bool Next()
    {
        try
        {
            if (!_world.Clock.Next(out bool isEvent))
            {
                return false;
            }

            if (isEvent)
            {
                _world.Events++;
            }
            else
            {
                // It may have been the controller's own.
                StepSoon();
            }

            _acts.LookAtWaiters();
            if (_world.Failure is { } failure)
            {
                throw failure;
            }
        }
        catch (Exception exception) when (exception is not ControllerSimulationFault)
        {
            throw _world.Fault(Invariant.ControllerWorks, exception.Message, exception);
        }

        _checks.AfterEvent();
        return true;
    }

    private void StepSoon()
    {
        if (!_steps)
        {
            _steps = true;
            _world.Clock.Schedule(TimeSpan.FromMicroseconds(_world.Random.Next(300)), () =>
            {
                _steps = false;
                _isDown = _controller.Step() || _isDown;
                if (_log.ControllerFailure is { } failure)
                {
                    // What an act sees is thrown into the controller that asks for it.
                    throw failure as ControllerSimulationFault ?? _world.Fault(Invariant.ControllerWorks, failure.Message, failure);
                }

                List<DeploymentState> wanted = [.. _controller.Deployments];
                wanted.ForEach(_world.Sabotage.AfterStep);
                _checks.AfterStep(wanted, _controller.Status);
            });
        }
    }

    /// <summary><see langword="null"/> = everything is at rest, else why not.</summary>
    private string? HasSettled() =>
        _applies.Any(a => !a.Settled.IsCompleted) ? "an apply has not ended"
        : _acts.Pending > 0 ? $"{_acts.Pending} acts go on"
        : _traffic.Open > 0 ? $"{_traffic.Open} requests go on"
        : _checks.WhyNotSelfConsistent(_controller.Status);

    private string? IsWanted() =>
        HasSettled() is { } why ? why
        : !_controller.Status.Applications.Select(a => a.Name).SequenceEqual(_wanted.Select(g => g.Name)) ? "other applications run than are wanted"
        : _wanted.FirstOrDefault(g => _checks.WhyNot(_controller.Status.Applications.First(a => a.Name == g.Name), g) is not null) is { } goal
            ? _checks.WhyNot(_controller.Status.Applications.First(a => a.Name == goal.Name), goal)
        : null;

    private static string Describe(ApplicationGoal goal) =>
        $"{goal.Name}={goal.Code.ImportPath}@{goal.RoutePrefix}[{string.Join(";", goal.Deployments.Select(d => $"{d.Name} x{(d.Autoscaling is { } a ? $"{a.MinReplicas}-{a.MaxReplicas} by {a.Policy ?? "load"}" : d.NumReplicas)} o{d.MaxOngoingRequests} q{d.MaxQueuedRequests} {d.UserConfig}{(d.Replaces ? " replaces" : "")}"))}]";
}
