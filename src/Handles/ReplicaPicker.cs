using Serve.Embedded.Replicas;

namespace Serve.Embedded.Handles;

/// <summary>
/// Power of two choices: of two random replicas the one with fewer ongoing requests, then the other, then whoever has a free permit
/// (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").
/// </summary>
internal static class ReplicaPicker
{
    /// <summary>Takes a permit from one of the replicas; <see langword="null"/> if none was found free.</summary>
    public static Replica? Take(Replica[] replicas, Dice dice)
    {
        switch (replicas.Length)
        {
            case 0:
                return null;
            case 1:
                return replicas[0].Permits.TryTake() ? replicas[0] : null;
        }

        int first = replicas.Length == 2 ? 0 : dice.Throw(replicas.Length);
        int second = replicas.Length == 2 ? 1 : dice.Throw(replicas.Length - 1);
        if (replicas.Length > 2 && second >= first)
        {
            second++;
        }

        (int fewer, int more) = Order(replicas, first, second, dice);
        if (replicas[fewer].Permits.TryTake())
        {
            return replicas[fewer];
        }

        if (replicas[more].Permits.TryTake())
        {
            return replicas[more];
        }

        for (int i = 1; i < replicas.Length; i++)
        {
            Replica replica = replicas[(first + i) % replicas.Length];
            if (replica.Permits.TryTake())
            {
                return replica;
            }
        }

        return null;
    }

    private static (int Fewer, int More) Order(Replica[] replicas, int first, int second, Dice dice)
    {
        int difference = replicas[first].Permits.Ongoing - replicas[second].Permits.Ongoing;
        if (difference == 0 && replicas.Length == 2)
        {
            // Of two equals the first would always win: a coin keeps an idle pair evenly used.
            difference = dice.Throw(2) * 2 - 1;
        }

        return difference <= 0 ? (first, second) : (second, first);
    }
}
