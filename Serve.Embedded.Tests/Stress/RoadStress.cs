using System.Diagnostics;
using System.Net.Sockets;
using Serve.Embedded.Config;
using Serve.Embedded.Controller;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Functional;
using Serve.Embedded.Tests.Functional.Wire;

namespace Serve.Embedded.Tests.Stress;

/// <summary>
/// A whole server between many clients and its workers, on both roads at the same time: requests are sent one by one and several at once, clients leave, workers break off and hang, replicas come, go and are killed, and
/// time runs out. What is seen of it is in the ledger.
/// </summary>
internal sealed class RoadStress
{
    private const int Clients = 12;
    private const int Limit = 2;
    private const int MaxQueued = 4;
    private const int MostReplicas = 3;
    private const int MostChanges = 20;

    /// <summary>Each change may start as many, and each gets a worker of its own.</summary>
    private const int Workers = (MostChanges + 1) * MostReplicas;

    /// <summary>As often the clock is moved while nothing happens at all until nobody waits for it any longer.</summary>
    private const int Patience = 50_000;

    /// <summary>And for so long: on a busy machine the loops may get no processor meanwhile.</summary>
    private static readonly TimeSpan ShortestStandstill = TimeSpan.FromSeconds(5);

    /// <summary>
    /// While nothing happens, the clock of the server is at most so much faster than the real one. Where others have the processors, nothing happens either, and without this all requests would time out.
    /// </summary>
    private const int MostHaste = 40;

    private readonly int _seed;
    private readonly RoadFault _fault;
    private readonly bool _repeats;
    private readonly SeededRandom _random;
    private readonly ManualTimeProvider _time = new();
    private readonly CancellationTokenSource _givesUp = new();
    private TestServer _server = null!;

    /// <param name="seed">Decides all but what threads decide.</param>
    /// <param name="fault">What is broken on purpose.</param>
    /// <param name="repeats">Requests whose worker fails are repeated, and processes are killed. Who comes back waits beyond the limit of the queue, which is not looked at then.</param>
    public RoadStress(int seed, RoadFault fault = RoadFault.None, bool repeats = false)
    {
        _seed = seed;
        _fault = fault;
        _repeats = repeats;
        _random = new((ulong)seed);
    }

    public RoadLedger Ledger { get; } = new();

    /// <summary>Nothing happens any more.</summary>
    public CancellationToken GivesUp => _givesUp.Token;

    private AdmissionGate Gate => _server.Server.Status.Applications[0].Deployments[0].Served.Gate;

    public async Task<Socket> ConnectAsync()
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(_server.Address.Host, _server.Address.Port, TestServer.Deadline);
        return socket;
    }

    /// <summary>Sends so many requests, and returns the invariants that were broken, with what was seen.</summary>
    public async Task<IReadOnlyList<(int Invariant, string Text)>> RunAsync(int requests)
    {
        await using RoadStressWorkers workers = new(Ledger, new((ulong)_seed + 1), _fault, Workers, Limit);
        await using TestServer server = _server = await PassTimeAsync(TestServer.StartAsync(new(), Config(workers, replicas: 2), _time));
        Assert.Empty(server.Outcome.Failures);
        if (_fault == RoadFault.QueueOneTooLong)
        {
            Gate.Handles[0].MaxQueued++;
        }

        Task clients = Task.WhenAll(Enumerable.Range(0, Clients).Select(i => Task.Run(() => new RoadStressClient(this, i, new((ulong)((_seed * 1000) + i))).RunAsync(requests / Clients))));
        Task changes = ChangeAsync(workers, clients);
        await DriveAsync(() => clients.IsCompleted);
        await clients;
        if (!await DriveAsync(() => changes.IsCompleted))
        {
            return Ledger.Violations;
        }

        await changes;
        await DriveAsync(() => server.Server.ConnectionCount == 0);
        if (!await DriveAsync(IsAtRest))
        {
            Ledger.Violation(4, $"{Gate.Free} permits are free of {Gate.Replicas.Sum(r => r.Permits.Limit)}, {Gate.Waiting} wait and {Gate.Replicas.Sum(r => r.Ongoing)} run when all is over");
        }

        if (server.LogsOf(EventIds.RequestFailed).FirstOrDefault() is { } failed)
        {
            Ledger.Violation(5, $"{failed.Message} {failed.Exception}");
        }

        workers.LookBack();
        ServedDeployment served = server.Server.Status.Applications[0].Deployments[0].Served;
        Ledger.Compare(server.LogsOf(EventIds.RequestHandled), Gate.Totals, served.Measures.Http.Read());
        return Ledger.Violations;
    }

    /// <summary>A failure says how to see it again.</summary>
    public string Describe() =>
        $"SERVE_STRESS_SEED={_seed}, after {Ledger.Requests.Count} requests: {string.Join("; ", Ledger.Violations.Take(8).Select(v => $"invariant {v.Invariant}: {v.Text}"))}";

    private static ServeConfig Config(RoadStressWorkers workers, int replicas, RetryMode retry, TimeSpan? timeout)
    {
        DeploymentConfig deployment = WorkerInTest.Deployment(workers.All.Command) with
        {
            NumReplicas = replicas,
            MaxOngoingRequests = Limit,
            MaxQueuedRequests = MaxQueued,
            MaxQueueWait = TimeSpan.FromSeconds(1),

            // So that a refusal is not taken for a replica that stops.
            Backpressure = new() { StatusCode = 429 },

            // How long these take is not the injected clock's matter.
            HealthCheckPeriod = TimeSpan.FromHours(10),
            GracefulShutdownTimeout = TimeSpan.FromSeconds(1),
        };
        return WorkerInTest.Config(
            deployment with { Worker = deployment.Worker with { Retry = retry, StartupTimeout = TimeSpan.FromHours(10) } },
            new() { RequestTimeout = timeout, StreamTimeout = timeout, KeepAliveTimeout = TimeSpan.FromHours(10) });
    }

    private ServeConfig Config(RoadStressWorkers workers, int replicas) =>
        Config(workers, replicas, _repeats ? RetryMode.Idempotent : RetryMode.Never, _fault == RoadFault.NeverEnds ? null : TimeSpan.FromSeconds(3));

    private async Task ChangeAsync(RoadStressWorkers workers, Task clients)
    {
        for (int i = 0; i < MostChanges && !clients.IsCompleted; i++)
        {
            long next = Ledger.Events + _random.Next(100, 1500);
            while (Ledger.Events < next && !clients.IsCompleted && !GivesUp.IsCancellationRequested)
            {
                await Task.Yield();
            }

            if (_repeats && _random.Next(2) == 0)
            {
                KillOne();
            }
            else
            {
                await _server.ApplyAsync(Config(workers, _random.Next(1, MostReplicas + 1)));
            }
        }
    }

    private void KillOne()
    {
        Replica[] replicas = Gate.Replicas;
        if (replicas.Length > 0 && replicas[_random.Next(replicas.Length)].Process?.ProcessId is { } id)
        {
            try
            {
                using Process process = Process.GetProcessById(id);
                process.Kill();
            }
            catch (Exception exception) when (exception is ArgumentException or InvalidOperationException)
            {
                // It has just ended.
            }
        }
    }

    /// <summary>Lets time pass, and looks at the queue.</summary>
    /// <returns>Whether it came to that, and nothing stood still before.</returns>
    private async Task<bool> DriveAsync(Func<bool> until)
    {
        long seen = Ledger.Events;
        long since = Stopwatch.GetTimestamp();
        long moved = since;
        for (int idle = 0; !until(); idle++)
        {
            TestServer.Deadline.ThrowIfCancellationRequested();
            TimeSpan passes = TimeSpan.FromMilliseconds(_random.Next(1, 4));
            TimeSpan most = Stopwatch.GetElapsedTime(moved) * MostHaste;
            moved = Stopwatch.GetTimestamp();
            _time.Advance(idle > 0 && most < passes ? most : passes);
            for (int i = 0; i < 4; i++)
            {
                await Task.Yield();
            }

            Look();
            if (Ledger.Events != seen)
            {
                seen = Ledger.Events;
                since = Stopwatch.GetTimestamp();
                idle = 0;
            }
            else if (idle > (HasProcessesOnTheWay() ? 100 * Patience : Patience) && Stopwatch.GetElapsedTime(since) > ShortestStandstill)
            {
                if (!_givesUp.IsCancellationRequested)
                {
                    Ledger.Violation(5, "somebody waits, and nothing happens any more");
                    await _givesUp.CancelAsync();
                }

                return false;
            }
        }

        return true;
    }

    private void Look()
    {
        int waiting = Gate.Waiting;
        if (!_repeats && waiting > MaxQueued)
        {
            Ledger.Violation(3, $"{waiting} wait, and {MaxQueued} may");
        }

        Replica? busy = Gate.Replicas.FirstOrDefault(r => r.Permits.Ongoing == Limit);
        switch (_fault)
        {
            case RoadFault.GivesAPermitBackTwice when busy is not null && _random.Next(500) == 0:
                Gate.Release(busy, 0);
                break;
            case RoadFault.LosesAPermit when _random.Next(500) == 0:
                Admission admission = Gate.Admit(Gate.Handles[0]);
                admission.Waiter?.TryLeave(WaitEnd.Cancelled);
                break;
            case RoadFault.CountsOneTooMany when _random.Next(500) == 0:
                Gate.Handles[0].Counts.Arrive();
                Gate.Handles[0].Counts.Ended(RequestEnd.Completed);
                break;
        }
    }

    /// <summary>How long one takes to start or to end is the machine's matter.</summary>
    private bool HasProcessesOnTheWay() => _server.Server.Status.Applications[0].Deployments[0].Replicas.Any(r => !r.State.TakesRequests());

    private bool IsAtRest()
    {
        AdmissionGate gate = Gate;
        return gate.Waiting == 0 && gate.Replicas.Length > 0 && gate.Replicas.All(r => r is { Ongoing: 0, Permits.Limit: Limit, Permits.Free: Limit }) && gate.Free == Limit * gate.Replicas.Length;
    }

    private async Task<T> PassTimeAsync<T>(Task<T> done)
    {
        await _time.PassUntilAsync(done, TimeSpan.FromMilliseconds(5));
        return await done;
    }
}
