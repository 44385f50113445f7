using Serve.Embedded.Deployments;

namespace Serve.Embedded.Replicas;

/// <summary>
/// The threads that tell of what comes over sockets; one set for the whole process, since they are few. A connection stays with its loop: threads that took their events from one list would wake
/// each other for them, and a request would wander from one processor's memory to another's.
/// </summary>
internal sealed class EventLoops
{
    private static readonly Lazy<EventLoops> InThreadPool = new(static () => new(count: 1, continuesHere: false));
    private static readonly Lazy<EventLoops> OnOwnThreads = new(static () => new(Math.Max(2, Environment.ProcessorCount), continuesHere: true));

    private readonly EventLoop[] _loops;

    /// <param name="count">How many; they run for as long as the process.</param>
    /// <param name="continuesHere">See <see cref="EventLoop.ContinuesHere"/>.</param>
    public EventLoops(int count, bool continuesHere) => _loops = [.. Enumerable.Range(0, count).Select(i => new EventLoop(i, continuesHere))];

    public int Count => _loops.Length;

    /// <summary>The one that has the fewest connections: where a client's go.</summary>
    public EventLoop Emptiest
    {
        get
        {
            EventLoop emptiest = _loops[0];
            foreach (EventLoop loop in _loops)
            {
                if (loop.Count < emptiest.Count)
                {
                    emptiest = loop;
                }
            }

            return emptiest;
        }
    }

    /// <summary>The one that runs this; <see langword="null"/> = none of these does.</summary>
    public EventLoop? Current => EventLoop.Current is { } current && current.Index < Count && _loops[current.Index] == current ? current : null;

    /// <summary>Where a worker's connection goes: with the request that it is made for.</summary>
    public EventLoop Here => Current ?? Emptiest;

    /// <summary>Resumes a waiter where code never blocks: on the loop whose thread gives it its permit, at the end of the turn. On other threads the thread pool does it.</summary>
    public static void Resume(IThreadPoolWorkItem waiter)
    {
        if (EventLoop.Current is { } loop)
        {
            loop.AtEndOfTurn(waiter);
        }
        else
        {
            ServeEnvironment.ResumeOnThreadPool(waiter);
        }
    }

    /// <inheritdoc cref="EventLoop.ContinuesHere"/>
    public static EventLoops For(bool onEventThreads) => (onEventThreads ? OnOwnThreads : InThreadPool).Value;
}
