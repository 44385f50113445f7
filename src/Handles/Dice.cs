using Serve.Embedded.Deployments;

namespace Serve.Embedded.Handles;

/// <summary>
/// Chance for a choice among equals, which every request makes. Two threads at once may throw the same: a choice can bear that, and an atomic operation, on a word that all requests of a server
/// write, would cost more than the choice.
/// </summary>
/// <param name="seed">Where it begins.</param>
internal sealed class Dice(long seed)
{
    private ulong _state = (ulong)seed;

    /// <summary>A number from 0 to one less than <paramref name="sides"/>, which is more than 0.</summary>
    public int Throw(int sides) => SeededRandom.Below(SeededRandom.Mix(_state += SeededRandom.Step), sides);
}
