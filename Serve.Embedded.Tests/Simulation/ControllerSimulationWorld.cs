using System.Globalization;
using Microsoft.Extensions.Logging;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Tests.Simulation;

/// <summary>Rules that a test breaks on purpose, to see that the simulation notices.</summary>
internal sealed record Sabotage
{
    /// <summary>What the controller is told instead of this message.</summary>
    public Func<ControllerMessage, IEnumerable<ControllerMessage>> Tell { get; init; } = message => [message];

    /// <summary>How work gives its permit back.</summary>
    public Action<RequestLease, RequestEnd> EndLease { get; init; } = static (lease, end) => lease.End(end);

    /// <summary>Done to every deployment after the controller has worked.</summary>
    public Action<DeploymentState> AfterStep { get; init; } = static _ => { };

    /// <summary>What a policy wishes for when everything is well, in place of what it would.</summary>
    public Func<double, double> Wish { get; init; } = static wish => wish;

    /// <summary>Whether a stopping replica has nothing left to do.</summary>
    public Func<Replica, bool> IsIdle { get; init; } = static replica => replica.Permits.Ongoing == 0;
}

/// <summary>What every part of a simulation shares: time, chance, the replicas that there are, and a trace that is the same whenever the seed is.</summary>
internal sealed class ControllerSimulationWorld(ulong seed, Sabotage sabotage)
{
    private readonly Queue<string> _last = new();

    public ControllerSimulationClock Clock { get; } = new();

    /// <summary>The simulation's own chance, apart from the product's.</summary>
    public SeededRandom Random { get; } = new(seed);

    public Sabotage Sabotage => sabotage;

    public ServingState Serving { get; } = new();

    public Dictionary<DeploymentState, List<SimulatedReplica>> Deployments { get; } = [];

    public Dictionary<Replica, SimulatedReplica> Replicas { get; } = [];

    /// <summary>What all replicas may take.</summary>
    public BoxConfig Box { get; set; } = new();

    /// <summary>Those for which somebody began to wait while they had no replica, since the controller has last worked.</summary>
    public HashSet<AdmissionGate> Asked { get; } = [];

    /// <summary>Those for which the box had no place, until they have a replica.</summary>
    public HashSet<AdmissionGate> LeftOut { get; } = [];

    /// <summary>Nothing fails any more, nobody arrives, and who hangs goes on.</summary>
    public bool Heals { get; set; }

    public long Events { get; set; }

    public ulong TraceHash { get; private set; } = 14695981039346656037;

    /// <summary>What went wrong where nobody could catch it.</summary>
    public Exception? Failure { get; set; }

    public bool Chance(int oneIn) => !Heals && Random.Next(oneIn) == 0;

    public TimeSpan Milliseconds(int from, int to) => TimeSpan.FromMicroseconds(Random.Next(from * 1000, (to * 1000) + 1));

    public void Trace(string what, string id, long number = 0)
    {
        foreach (char letter in what)
        {
            Mix(letter);
        }

        foreach (char letter in id)
        {
            Mix(letter);
        }

        Mix((ulong)number);
        Mix((ulong)Clock.Now);
        if (_last.Count == 60)
        {
            _last.Dequeue();
        }

        _last.Enqueue(string.Create(CultureInfo.InvariantCulture, $"{TimeSpan.FromTicks(Clock.Now).TotalSeconds:F6} {what} {id} {number}"));
    }

    public void Check(bool holds, Invariant invariant, Func<string> message)
    {
        if (!holds)
        {
            throw Fault(invariant, message());
        }
    }

    public ControllerSimulationFault Fault(Invariant invariant, string message, Exception? inner = null) => new(
        invariant, $"{invariant}: {message} Seed {seed}, event {Events}. SERVE_SIMULATION_SEED={seed} replays it. The last that happened:\n{string.Join('\n', _last)}", inner);

    private void Mix(ulong value) => TraceHash = (TraceHash ^ value) * 1099511628211;
}

/// <summary>A replica as the simulation knows it.</summary>
internal sealed class SimulatedReplica(DeploymentState deployment, Replica replica, IReadOnlyDictionary<string, ServedDeployment> siblings)
{
    public DeploymentState Deployment => deployment;

    public Replica Replica => replica;

    /// <summary>What it can call.</summary>
    public IReadOnlyDictionary<string, ServedDeployment> Siblings => siblings;

    /// <summary>Its handler; <see langword="null"/> = it has not started.</summary>
    public SimulatedHandler? Handler { get; set; }

    public List<ISimulatedWork> Work { get; } = [];

    /// <summary>Requests that were granted a permit and do not know it yet.</summary>
    public int Granted { get; set; }

    /// <summary>Its health checks fail until all heals.</summary>
    public bool IsIll { get; set; }

    /// <summary>Failed checks in a row.</summary>
    public int Strikes { get; set; }

    public bool WasAdmitted { get; set; }

    /// <summary>Completes when it is idle; set when it is told to stop.</summary>
    public Task? Idle { get; set; }

    public bool IsCancelled { get; set; }

    public bool Ends { get; set; }
}

/// <summary>Something that holds a permit.</summary>
internal interface ISimulatedWork
{
    /// <summary>Asks it to end soon; stubborn work does not listen unless it must.</summary>
    void Cancel(bool mustListen);
}

/// <summary>Lets a failure of the controller's own come out.</summary>
internal sealed class ControllerSimulationLog : ILoggerFactory, ILogger
{
    public Exception? ControllerFailure { get; private set; }

    public ILogger CreateLogger(string categoryName) => this;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (eventId.Id == EventIds.ControllerFailed)
        {
            ControllerFailure ??= exception ?? new InvalidOperationException(formatter(state, exception));
        }
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public void Dispose()
    {
    }
}
