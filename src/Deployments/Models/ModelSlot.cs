namespace Serve.Embedded.Deployments;

/// <summary>Room for one model: loading, loaded, or failed. All but <see cref="Loaded"/> belongs to the owner's lock.</summary>
internal sealed class ModelSlot<TModel>(string id)
    where TModel : class
{
    private readonly TaskCompletionSource<TModel> _loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public string Id => id;

    /// <summary>Requests that use the model or wait for it.</summary>
    public int Users { get; set; }

    /// <summary>Its place in the order of use, the oldest first.</summary>
    public LinkedListNode<ModelSlot<TModel>>? Place { get; set; }

    public Task<TModel> Loaded => _loaded.Task;

    public bool CanBeUnloaded => Users == 0 && Loaded.IsCompletedSuccessfully;

    public void SetLoaded(TModel model) => _loaded.SetResult(model);

    public void SetFailed(Exception exception)
    {
        _loaded.SetException(exception);

        // It may be that nobody waits any more.
        _ = _loaded.Task.Exception;
    }
}
