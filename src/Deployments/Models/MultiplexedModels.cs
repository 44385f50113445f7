using System.Collections.Concurrent;
using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>
/// The models that one replica has in memory, loaded when a request first asks for them and unloaded, the least recently used first, when there would be too many. Made by
/// <see cref="DeploymentContext.CreateModels{TModel}"/>; Ray Serve's <c>@serve.multiplexed</c>. Thread-safe.
/// </summary>
/// <remarks>
/// Loads of different models do not wait for each other, and requests that ask for the same model share one load. There are never more models than the most, those included that are being loaded or
/// unloaded: the oldest that nobody uses goes first, then the new one is loaded; while all are in use, a request for another one waits.
/// </remarks>
/// <typeparam name="TModel">What a model is. Where it is <see cref="IAsyncDisposable"/> or <see cref="IDisposable"/>, that unloads it.</typeparam>
public sealed class MultiplexedModels<TModel> : IModelHolder, IAsyncDisposable
    where TModel : class
{
    private readonly Lock _gate = new();
    private readonly Func<string, CancellationToken, ValueTask<TModel>> _load;
    private readonly CancellationTokenSource _stopping = new();

    /// <summary>Written under the lock, read by routing without it.</summary>
    private readonly ConcurrentDictionary<string, ModelSlot<TModel>> _slots = new(StringComparer.Ordinal);

    /// <summary>A load is nobody's request: it runs in the ambient context of the replica and outlives the request that began it.</summary>
    private readonly ExecutionContext? _context = ExecutionContext.Capture();

    private readonly LinkedList<ModelSlot<TModel>> _order = new();

    /// <summary>Completes when room may have been made; made by who waits for it.</summary>
    private TaskCompletionSource? _room;

    private bool _disposed;

    internal MultiplexedModels(Func<string, CancellationToken, ValueTask<TModel>> load, int maxModels)
    {
        _load = load;
        MaxModels = maxModels;
    }

    /// <summary>Models at the same time; -1 = no limit.</summary>
    public int MaxModels { get; }

    /// <summary>The ids of the models that are loaded or being loaded, in no order.</summary>
    public IReadOnlyCollection<string> ModelIds => [.. _slots.Keys];

    int IModelHolder.Count => _slots.Count;

    bool IModelHolder.Holds(string modelId) => _slots.ContainsKey(modelId);

    /// <summary>The model, loaded if it is not there. Dispose of what is returned when the model is not used any more: <c>using ModelLease&lt;TModel&gt; lease = await models.GetAsync(...)</c>.</summary>
    /// <param name="modelId">Its id, often <see cref="CurrentRequest.ModelId"/>.</param>
    /// <param name="cancellationToken">Ends the wait of this caller; a load that it began goes on for those who come next.</param>
    /// <exception cref="ArgumentException">The id is empty.</exception>
    /// <exception cref="ObjectDisposedException">The replica has ended.</exception>
    /// <exception cref="Exception">What the load threw, or the unloading of the model that had to make room. It is not kept: the next call loads anew.</exception>
    public async ValueTask<ModelLease<TModel>> GetAsync(string modelId, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(modelId);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (!TryUse(modelId, out ModelSlot<TModel>? slot, out Task room))
            {
                await room.WaitAsync(cancellationToken);
                continue;
            }

            try
            {
                return new(this, slot, await slot.Loaded.WaitAsync(cancellationToken));
            }
            catch
            {
                GiveBack(slot);
                throw;
            }
        }
    }

    /// <summary>Unloads all models. The server does it when the replica ends; afterwards no model can be had.</summary>
    public async ValueTask DisposeAsync()
    {
        List<ModelSlot<TModel>> slots;
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            slots = [.. _order];
            _order.Clear();
            _slots.Clear();
            MakeRoom_NeedsLock();
        }

        await _stopping.CancelAsync();
        List<Exception> errors = [];
        foreach (ModelSlot<TModel> slot in slots)
        {
            await UnloadAsync(slot, errors);
        }

        if (errors.Count > 0)
        {
            throw new AggregateException("Not every model could be unloaded.", errors);
        }
    }

    internal void GiveBack(ModelSlot<TModel> slot)
    {
        lock (_gate)
        {
            slot.Users--;
            if (slot.Users == 0)
            {
                MakeRoom_NeedsLock();
            }
        }
    }

    /// <summary>Counts the caller among the model's users; <see langword="false"/> if there is no room for it, and then what to wait for.</summary>
    private bool TryUse(string modelId, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ModelSlot<TModel>? slot, out Task room)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            room = Task.CompletedTask;
            if (_slots.TryGetValue(modelId, out slot))
            {
                slot.Users++;
                _order.Remove(slot.Place!);
                _order.AddLast(slot.Place!);
                return true;
            }

            ModelSlot<TModel>? victim = null;
            if (MaxModels >= 0 && _order.Count >= MaxModels)
            {
                victim = _order.FirstOrDefault(static s => s.CanBeUnloaded);
                if (victim is null)
                {
                    _room ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
                    room = _room.Task;
                    return false;
                }

                // From now on it is not there; its room is taken by the one that waits for it to be gone.
                Remove_NeedsLock(victim);
            }

            slot = new(modelId) { Users = 1 };
            slot.Place = _order.AddLast(slot);
            _slots[modelId] = slot;
            ThreadPool.UnsafeQueueUserWorkItem(static load => load.Models.Load(load.Slot, load.Victim), (Models: this, Slot: slot, Victim: victim), preferLocal: false);
            return true;
        }
    }

    private void Load(ModelSlot<TModel> slot, ModelSlot<TModel>? victim)
    {
        if (_context is not null)
        {
            ExecutionContext.Restore(_context);
        }

        _ = LoadAsync(slot, victim);
    }

    private async Task LoadAsync(ModelSlot<TModel> slot, ModelSlot<TModel>? victim)
    {
        try
        {
            if (victim is not null)
            {
                await Disposal.OfAsync(await victim.Loaded);
            }

            TModel model = await _load(slot.Id, _stopping.Token)
                ?? throw new InvalidOperationException($"The loader returned null for model '{slot.Id}'.");
            slot.SetLoaded(model);
        }
#pragma warning disable CA1031 // Whatever a loader throws belongs to those who asked for the model.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            lock (_gate)
            {
                Remove_NeedsLock(slot);
            }

            slot.SetFailed(exception);
        }

        // Its place is free, or it can be unloaded itself if those who asked for it have left.
        MakeRoom();
    }

    private static async Task UnloadAsync(ModelSlot<TModel> slot, List<Exception> errors)
    {
        TModel model;
        try
        {
            model = await slot.Loaded;
        }
#pragma warning disable CA1031 // A load that failed was its callers' to hear of, and there is nothing to unload.
        catch (Exception)
#pragma warning restore CA1031
        {
            return;
        }

        try
        {
            await Disposal.OfAsync(model);
        }
#pragma warning disable CA1031 // The others are unloaded all the same.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            errors.Add(exception);
        }
    }

    private void Remove_NeedsLock(ModelSlot<TModel> slot)
    {
        if (slot.Place is { List: not null } place)
        {
            _order.Remove(place);
            _slots.TryRemove(slot.Id, out _);
        }
    }

    private void MakeRoom()
    {
        lock (_gate)
        {
            MakeRoom_NeedsLock();
        }
    }

    private void MakeRoom_NeedsLock()
    {
        _room?.TrySetResult();
        _room = null;
    }
}
