using Serve.Embedded.Deployments;

namespace Serve.Embedded.Handles;

/// <summary>A hash of two texts that is the same in every process: FNV-1a over both, then mixed so that similar texts lie far apart.</summary>
internal static class StableHash
{
    private const ulong Offset = 0xCBF29CE484222325;
    private const ulong Prime = 0x100000001B3;

    public static ulong Of(string one, string other) => SeededRandom.Mix(Add(Add(Add(Offset, one), "\0"), other));

    private static ulong Add(ulong hash, string text)
    {
        foreach (char c in text)
        {
            hash = (hash ^ c) * Prime;
        }

        return hash;
    }
}
