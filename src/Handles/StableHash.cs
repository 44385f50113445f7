namespace Serve.Embedded.Handles;

/// <summary>A hash of two texts that is the same in every process: FNV-1a over both, and the finalizer of SplitMix64 so that similar texts lie far apart.</summary>
internal static class StableHash
{
    private const ulong Offset = 0xCBF29CE484222325;
    private const ulong Prime = 0x100000001B3;

    public static ulong Of(string one, string other)
    {
        ulong hash = Add(Add(Add(Offset, one), "\0"), other);
        hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
        hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
        return hash ^ (hash >> 31);
    }

    private static ulong Add(ulong hash, string text)
    {
        foreach (char c in text)
        {
            hash = (hash ^ c) * Prime;
        }

        return hash;
    }
}
