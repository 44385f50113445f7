using System.Runtime.InteropServices;

namespace Serve.Embedded.Replicas.Workers;

/// <summary>
/// Says when a child has ended: one watch on SIGCHLD for all of them, without a thread of its own. It asks after the children that it knows and no others, so that it
/// takes no status from a <see cref="System.Diagnostics.Process"/> of the host, which likewise takes none of these. SIGCHLD belongs to the process, and so does this.
/// </summary>
internal static class ChildProcesses
{
    private static readonly Lock Gate = new();
    private static readonly Dictionary<int, Action> Watched = [];
    private static PosixSignalRegistration? _registration;

    /// <summary>Makes ready to watch: what there is to go wrong goes wrong here, before there is a child.</summary>
    /// <exception cref="WorkerStartException">The system has not what it takes.</exception>
    public static void Listen()
    {
        lock (Gate)
        {
            try
            {
                if (!OperatingSystem.IsWindows())
                {
                    _registration ??= PosixSignalRegistration.Create(PosixSignal.SIGCHLD, static _ => LookAtAll());
                }
            }
            catch (IOException exception)
            {
                throw new WorkerStartException($"The end of other processes cannot be watched: {Shortage.Of(exception.HResult) ?? exception.Message}");
            }
        }
    }

    /// <summary>
    /// Calls once, on a thread of the pool, when the child has ended. It is a zombie then, so that its number is nobody else's:
    /// what is called must <see cref="NativeProcess.Reap"/> it, and must not throw. <see cref="Listen"/> comes first.
    /// </summary>
    public static void Watch(int child, Action ended)
    {
        lock (Gate)
        {
            Watched.Add(child, ended);
        }

        // It may have ended before it was watched.
        LookAtAll();
    }

    /// <summary>Signals of one kind that arrive together are one, so each means that any number of children may have ended.</summary>
    private static void LookAtAll()
    {
        lock (Gate)
        {
            foreach ((int child, Action ended) in Watched)
            {
                if (NativeProcess.HasEnded(child, out bool gone) || gone)
                {
                    Watched.Remove(child);
                    ThreadPool.UnsafeQueueUserWorkItem(static call => call(), ended, preferLocal: false);
                }
            }
        }
    }
}
