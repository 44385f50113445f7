using Serve.Embedded.Replicas;

namespace Serve.Embedded.Handles;

/// <summary>
/// The lease of a request whose connection may be upgraded, where <c>max_websockets</c> bounds those: beside the permit it has one of the replica's places for upgraded connections.
/// The permit comes back when the connection is upgraded, and the place when the work has ended; each exactly once.
/// </summary>
internal sealed class UpgradeLease
{
    private int _holdsPermit = 1;

    private UpgradeLease(RequestLease lease) => Lease = lease;

    public RequestLease Lease { get; }

    /// <summary>Whether no replica has a place: there is no use in waiting for a permit.</summary>
    public static bool AllAreTaken(AdmissionGate gate, int limit)
    {
        Replica[] replicas = gate.Replicas;
        foreach (Replica replica in replicas)
        {
            if (replica.Upgrades.Count < limit)
            {
                return false;
            }
        }

        return replicas.Length > 0;
    }

    /// <summary>Takes a place beside a permit: on its replica, or on another that has a permit and a place free.</summary>
    /// <returns><see langword="null"/> = there is none, and the lease is as it was.</returns>
    public static UpgradeLease? TryTake(RequestLease lease, int limit)
    {
        if (lease.Replica.Upgrades.TryTake(limit))
        {
            return new(lease);
        }

        AdmissionGate gate = lease.Handle.Gate;
        foreach (Replica other in gate.Replicas)
        {
            if (other == lease.Replica || !other.Upgrades.TryTake(limit))
            {
                continue;
            }

            if (gate.TryMove(ref lease, other))
            {
                return new(lease);
            }

            other.Upgrades.Return();
        }

        return null;
    }

    /// <summary>The connection is upgraded.</summary>
    public void Upgraded()
    {
        if (Interlocked.Exchange(ref _holdsPermit, 0) != 0)
        {
            Lease.Return();
        }
    }

    /// <summary>The work has ended.</summary>
    public void End(RequestEnd end)
    {
        if (Interlocked.Exchange(ref _holdsPermit, 0) != 0)
        {
            Lease.End(end);
        }
        else
        {
            Lease.EndWithoutPermit(end);
        }

        Lease.Replica.Upgrades.Return();
    }

    /// <summary>The request goes on elsewhere: its permit is still its own.</summary>
    public void GivePlaceBack() => Lease.Replica.Upgrades.Return();
}
