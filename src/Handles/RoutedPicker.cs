using Serve.Embedded.Replicas;

namespace Serve.Embedded.Handles;

/// <summary>Takes a permit from the replicas that a call prefers, else from any: the deployment's router first, then the model, then the session, as in Ray Serve.</summary>
internal static class RoutedPicker
{
    /// <summary>Replicas that a session tries in its own order before it takes whoever is least busy: the first and, as in Ray Serve's consistent hashing, two to fall back on.</summary>
    private const int SessionReplicas = 3;

    /// <summary>Takes a permit from one of the replicas; <see langword="null"/> if none was found free.</summary>
    public static Replica? Take(Replica[] replicas, CallRoute? route, Dice dice)
    {
        if (route is null || replicas.Length <= 1)
        {
            return ReplicaPicker.Take(replicas, dice);
        }

        return (route.Ranked is { } ranked ? TakeFirst(ranked) : null)
            ?? (route.ModelId is { } model ? TakeForModel(replicas, model) : route.SessionId is { } session ? TakeForSession(replicas, session) : null)
            ?? ReplicaPicker.Take(replicas, dice);
    }

    /// <summary>
    /// Where a session belongs: the replica with the highest hash of both (rendezvous hashing, Thaler and Ravishankar 1998), so that nothing has to be remembered, and that a replica which comes or goes
    /// moves only the sessions that it gets or had.
    /// </summary>
    /// <param name="replicas">All of them.</param>
    /// <param name="session">The session's id.</param>
    /// <param name="below">Only hashes less than this; how one goes on to the next.</param>
    /// <param name="hash">The hash of what was found.</param>
    public static Replica? Next(Replica[] replicas, string session, ulong below, out ulong hash)
    {
        Replica? best = null;
        hash = 0;
        foreach (Replica replica in replicas)
        {
            ulong own = StableHash.Of(session, replica.Id);
            if (own < below && (best is null || own > hash))
            {
                best = replica;
                hash = own;
            }
        }

        return best;
    }

    private static Replica? TakeFirst(Replica[] ranked)
    {
        foreach (Replica replica in ranked)
        {
            if (replica.Permits.TryTake())
            {
                return replica;
            }
        }

        return null;
    }

    /// <summary>Of those that have the model, or are loading it, the least busy; else, since one must load it, the one with the fewest models.</summary>
    private static Replica? TakeForModel(Replica[] replicas, string model)
    {
        Replica? holder = null;
        Replica? emptiest = null;
        foreach (Replica replica in replicas)
        {
            if (replica.Permits.Free == 0)
            {
                continue;
            }

            if (replica.Models.Holds(model))
            {
                if (holder is null || replica.Permits.Ongoing < holder.Permits.Ongoing)
                {
                    holder = replica;
                }
            }
            else if (emptiest is null || Compare(replica, emptiest) < 0)
            {
                emptiest = replica;
            }
        }

        return holder is not null && holder.Permits.TryTake() ? holder
            : emptiest is not null && emptiest.Permits.TryTake() ? emptiest
            : null;
    }

    private static int Compare(Replica one, Replica other)
    {
        int byModels = one.Models.Count - other.Models.Count;
        return byModels != 0 ? byModels : one.Permits.Ongoing - other.Permits.Ongoing;
    }

    private static Replica? TakeForSession(Replica[] replicas, string session)
    {
        ulong below = ulong.MaxValue;
        for (int i = 0; i < SessionReplicas && Next(replicas, session, below, out ulong hash) is { } replica; i++)
        {
            if (replica.Permits.TryTake())
            {
                return replica;
            }

            below = hash;
        }

        return null;
    }
}
