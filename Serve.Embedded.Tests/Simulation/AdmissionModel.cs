namespace Serve.Embedded.Tests.Simulation;

/// <summary>Admission in its plainest form, for one thread: lists and counts, one rule a line. What the real gate must equal after every step.</summary>
internal sealed class AdmissionModel
{
    private readonly List<ModelHandle> _listed = [];
    private int _turn;

    public List<ModelReplica> Replicas { get; } = [];

    public bool Unavailable { get; private set; }

    public int Waiting => _listed.Sum(h => h.Queue.Count);

    public int Free => Replicas.Sum(r => Math.Max(0, r.Limit - r.Ongoing));

    /// <summary>Who is granted a permit, in order; the harness says which replica each went to.</summary>
    public Queue<int> Granted { get; } = new();

    /// <summary>Who was told that nothing can run it.</summary>
    public HashSet<int> Ended { get; } = [];

    public int Listed => _listed.Count;

    public void Add(ModelHandle handle) => _listed.Add(handle);

    public void Close(ModelHandle handle)
    {
        handle.Closed = true;
        Forget();
    }

    /// <summary>Whether an arrival runs, waits, is refused, or is told that nothing can run it.</summary>
    public ModelDecision Arrive(ModelHandle handle, int request)
    {
        handle.Arrived++;
        if (handle.Closed)
        {
            handle.Shed++;
            return ModelDecision.Unavailable;
        }

        if (Waiting == 0 && Free > 0)
        {
            handle.Started++;
            return ModelDecision.Run;
        }

        if (Unavailable)
        {
            handle.Shed++;
            return ModelDecision.Unavailable;
        }

        if (handle.Queue.Count >= handle.MaxQueued)
        {
            handle.Shed++;
            return ModelDecision.Refused;
        }

        handle.Queue.Add(request);
        return ModelDecision.Wait;
    }

    public bool Leave(ModelHandle handle, int request)
    {
        bool left = handle.Queue.Remove(request);
        handle.Cancelled += left ? 1 : 0;
        Forget();
        return left;
    }

    public void SetUnavailable(bool unavailable)
    {
        Unavailable = unavailable;
        if (!unavailable)
        {
            return;
        }

        foreach (ModelHandle handle in _listed)
        {
            handle.Shed += handle.Queue.Count;
            Ended.UnionWith(handle.Queue);
            handle.Queue.Clear();
        }

        Forget();
    }

    /// <summary>Gives what is free to those who wait, handle by handle.</summary>
    public void Pass()
    {
        for (int free = Free; free > 0 && Waiting > 0; free--)
        {
            int i = 0;
            while (_listed[(_turn + i) % _listed.Count].Queue.Count == 0)
            {
                i++;
            }

            ModelHandle handle = _listed[(_turn + i) % _listed.Count];
            _turn = (_turn + i + 1) % _listed.Count;
            Granted.Enqueue(handle.Queue[0]);
            handle.Queue.RemoveAt(0);
            handle.Started++;
            Forget();
        }
    }

    private void Forget() => _listed.RemoveAll(h => h.Closed && h.Queue.Count == 0);
}

internal enum ModelDecision
{
    Run,
    Wait,
    Refused,
    Unavailable,
}

internal sealed class ModelReplica
{
    public int Limit { get; set; }

    public int Ongoing { get; set; }
}

internal sealed class ModelHandle
{
    public int MaxQueued { get; set; }

    public bool Closed { get; set; }

    public List<int> Queue { get; } = [];

    public long Arrived { get; set; }

    public long Started { get; set; }

    public long Shed { get; set; }

    public long Completed { get; set; }

    public long Cancelled { get; set; }
}
