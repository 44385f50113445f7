namespace Serve.Embedded.Deployments;

/// <summary>The models of one replica, in all its <see cref="MultiplexedModels{TModel}"/>: what routing asks for, and what is unloaded when the replica ends.</summary>
internal sealed class ReplicaModels : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private IModelHolder[] _holders = [];

    /// <summary>Models that it has or is loading.</summary>
    public int Count
    {
        get
        {
            int count = 0;
            foreach (IModelHolder holder in Volatile.Read(ref _holders))
            {
                count += holder.Count;
            }

            return count;
        }
    }

    public bool Holds(string modelId)
    {
        foreach (IModelHolder holder in Volatile.Read(ref _holders))
        {
            if (holder.Holds(modelId))
            {
                return true;
            }
        }

        return false;
    }

    public void Add(IModelHolder holder)
    {
        lock (_gate)
        {
            Volatile.Write(ref _holders, [.. _holders, holder]);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IModelHolder holder in Volatile.Read(ref _holders))
        {
            await holder.DisposeAsync();
        }
    }
}

/// <summary>Models as routing sees them.</summary>
internal interface IModelHolder : IAsyncDisposable
{
    int Count { get; }

    bool Holds(string modelId);
}
