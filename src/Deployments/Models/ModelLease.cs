using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>A model in use: it is not unloaded before this is disposed of.</summary>
/// <typeparam name="TModel">What the model is.</typeparam>
public sealed class ModelLease<TModel> : IDisposable
    where TModel : class
{
    private readonly MultiplexedModels<TModel> _owner;
    private readonly ModelSlot<TModel> _slot;
    private int _disposed;

    internal ModelLease(MultiplexedModels<TModel> owner, ModelSlot<TModel> slot, TModel model)
    {
        _owner = owner;
        _slot = slot;
        Model = model;
    }

    /// <summary>The model.</summary>
    public TModel Model { get; }

    /// <summary>Its id.</summary>
    public string ModelId => _slot.Id;

    /// <summary>The model is not used any more by who asked for it. A second call does nothing.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _owner.GiveBack(_slot);
        }
    }
}
