namespace Serve.Embedded.Tests.Functional.Conformance.Subject;

/// <summary>Where handlers say what happens to them, and wait until they are released: what a test sees and decides of a server that may be another process.</summary>
internal sealed class Board
{
    private readonly Lock _gate = new();
    private readonly List<string> _events = [];
    private readonly HashSet<string> _released = [];
    private int _failures;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public IReadOnlyList<string> Events
    {
        get
        {
            lock (_gate)
            {
                return [.. _events];
            }
        }
    }

    public void Tell(string what) => Change(() => _events.Add(what));

    public void Release(string name) => Change(() => _released.Add(name));

    /// <summary>Whether this is one of the first <paramref name="count"/> to ask.</summary>
    public bool IsAmongTheFirst(int count) => Interlocked.Increment(ref _failures) <= count;

    public bool IsReleased(string name)
    {
        lock (_gate)
        {
            return _released.Contains(name);
        }
    }

    public Task HeardAsync(string what, CancellationToken cancellationToken) => UntilAsync(() => _events.Contains(what), cancellationToken);

    public Task ReleasedAsync(string name, CancellationToken cancellationToken) => UntilAsync(() => _released.Contains(name), cancellationToken);

    private void Change(Action change)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            change();
            changed = _changed;
            _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        changed.SetResult();
    }

    private async Task UntilAsync(Func<bool> holds, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                if (holds())
                {
                    return;
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellationToken);
        }
    }
}
