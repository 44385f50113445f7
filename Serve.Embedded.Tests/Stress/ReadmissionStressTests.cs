using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Fakes;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Stress;

/// <summary>Requests whose replica dies under them and that come back, among others that arrive, leave and end: nobody is lost, and the sums hold.</summary>
public sealed class ReadmissionStressTests
{
    private const int Threads = 4;
    private const int ArrivalsPerThread = 20_000;
    private const int Limit = 3;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Readmit_WhileReplicasComeAndGo_EveryRequestEndsOnce(int seed)
    {
        ServeEnvironment environment = new(
            new ManualTimeProvider(), new SeededRandom((ulong)seed), static item => ThreadPool.UnsafeQueueUserWorkItem(item, preferLocal: false), Microsoft.Extensions.Logging.Abstractions.NullLoggerFactory.Instance);
        AdmissionGate gate = new(environment);
        Handle handle = gate.AddHandle(8);
        List<Replica> replicas = [Add(gate, 0), Add(gate, 1)];
        int alive = Threads;
        Task[] callers = [.. Enumerable.Range(0, Threads).Select(t => Task.Run(async () =>
        {
            SeededRandom random = new((ulong)((seed * 100) + t));
            for (int i = 0; i < ArrivalsPerThread; i++)
            {
                await CallAsync(gate, handle, random);
            }

            Interlocked.Decrement(ref alive);
        }))];

        SeededRandom changes = new((ulong)seed);
        for (int i = 2; Volatile.Read(ref alive) > 0; i++)
        {
            replicas.Add(Add(gate, i));
            Replica dead = replicas[changes.Next(replicas.Count - 1)];
            gate.RemoveReplica(dead);
            replicas.Remove(dead);
            await Task.Yield();
        }

        await Task.WhenAll(callers).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        HandleCounts counts = handle.Counts;
        Assert.Equal(Threads * (long)ArrivalsPerThread, counts.Arrived);
        Assert.Equal(counts.Arrived, counts.Shed + counts.Completed + counts.Cancelled);
        Assert.Equal((0, 0, replicas.Count * Limit), (gate.Waiting, handle.Queued, gate.Free));
    }

    private static async Task CallAsync(AdmissionGate gate, Handle handle, SeededRandom random)
    {
        Admission admission = gate.Admit(handle);
        while (true)
        {
            RequestLease lease;
            if (admission.Kind == AdmissionKind.Refused)
            {
                return;
            }

            if (admission.Kind == AdmissionKind.Wait)
            {
                ValueTask<WaitEnd> ended = admission.Waiter!.Ended;
                if (random.Next(10) == 0)
                {
                    admission.Waiter.TryLeave(WaitEnd.Cancelled);
                }

                if (await ended == WaitEnd.Cancelled)
                {
                    return;
                }

                lease = admission.Waiter.Lease;
            }
            else
            {
                Assert.Equal(AdmissionKind.Run, admission.Kind);
                lease = admission.Lease;
            }

            if (random.Next(4) != 0)
            {
                if (random.Next(2) == 0)
                {
                    await Task.Yield();
                }

                lease.End(RequestEnd.Completed);
                return;
            }

            lease.Return();
            admission = gate.Readmit(handle);
        }
    }

    private static Replica Add(AdmissionGate gate, int number)
    {
        Replica replica = TestGate.NewReplica($"r{number}", TimeProvider.System);
        gate.AddReplica(replica, Limit);
        return replica;
    }
}
