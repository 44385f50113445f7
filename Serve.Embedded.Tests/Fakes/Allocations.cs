namespace Serve.Embedded.Tests.Fakes;

/// <summary>What code allocates on its own thread.</summary>
internal static class Allocations
{
    /// <summary>
    /// The least of several runs, after one that is not counted. A collection that another thread causes between two readings counts what was left of the thread's allocation context as
    /// allocated; code that really allocates does so in every run.
    /// </summary>
    public static long Of(Action code)
    {
        code();
        long least = long.MaxValue;
        for (int run = 0; run < 5 && least > 0; run++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            code();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
