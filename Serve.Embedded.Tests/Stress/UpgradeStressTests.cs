using Serve.Embedded.Handles;
using Serve.Embedded.Replicas;
using Serve.Embedded.Tests.Handles;

namespace Serve.Embedded.Tests.Stress;

/// <summary>Upgrades, ends and plain requests from many threads: no limit is passed and no permit or place is lost or doubled.</summary>
public sealed class UpgradeStressTests
{
    private const int Threads = 4;
    private const int Rounds = 20_000;
    private const int Permits = 2;
    private const int Places = 3;

    [Fact]
    public void Upgrades_FromManyThreads_SumsAreExact()
    {
        TestGate test = new();
        Replica[] replicas = [test.AddReplica(Permits), test.AddReplica(Permits)];
        Handle handle = test.Gate.AddHandle(0);
        int most = 0;

        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(seed => new Thread(() => Run(seed)))];
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());

        Assert.Equal(Permits * replicas.Length, test.Gate.Free);
        Assert.All(replicas, r => Assert.Equal((0, 0, Permits), (r.Permits.Ongoing, r.Upgrades.Count, r.Permits.Free)));
        Assert.InRange(most, 1, Places);
        Assert.Equal(Threads * Rounds, handle.Counts.Completed + handle.Counts.Shed);

        void Run(int seed)
        {
            Random random = new(seed);
            Queue<UpgradeLease> open = new();
            for (int i = 0; i < Rounds; i++)
            {
                Admission admission = test.Gate.Admit(handle);
                if (admission.Kind == AdmissionKind.Run)
                {
                    Begin(admission.Lease, random, open);
                }

                while (open.Count > random.Next(4))
                {
                    open.Dequeue().End(RequestEnd.Completed);
                }
            }

            while (open.TryDequeue(out UpgradeLease? upgrade))
            {
                upgrade.End(RequestEnd.Completed);
            }
        }

        void Begin(RequestLease lease, Random random, Queue<UpgradeLease> open)
        {
            if (random.Next(3) == 0)
            {
                lease.End(RequestEnd.Completed);
                return;
            }

            if (UpgradeLease.TryTake(lease, Places) is not { } upgrade)
            {
                lease.End(RequestEnd.Refused);
                return;
            }

            int count = upgrade.Lease.Replica.Upgrades.Count;
            int seen = Volatile.Read(ref most);
            while (count > seen)
            {
                seen = Interlocked.CompareExchange(ref most, count, seen) is { } before && before == seen ? count : Volatile.Read(ref most);
            }

            if (random.Next(4) > 0)
            {
                upgrade.Upgraded();
            }

            open.Enqueue(upgrade);
        }
    }
}
