namespace Serve.Embedded.Deployments;

/// <summary>Those who wait for a batch of one model, or of none, in the order in which they came. Belongs to the lock of its <see cref="Batcher{TRequest, TResponse}"/>.</summary>
internal sealed class BatchQueue<TRequest, TResponse>(string? modelId)
{
    private BatchItem<TRequest, TResponse>? _last;

    public string? ModelId => modelId;

    /// <summary>Who has waited longest; <see langword="null"/> = nobody waits.</summary>
    public BatchItem<TRequest, TResponse>? First { get; private set; }

    public int Count { get; private set; }

    /// <summary>The sum of the sizes of all who wait.</summary>
    public long Total { get; private set; }

    public void Append(BatchItem<TRequest, TResponse> item)
    {
        item.Queue = this;
        item.Waits = true;
        item.Previous = _last;
        if (_last is null)
        {
            First = item;
        }
        else
        {
            _last.Next = item;
        }

        _last = item;
        Count++;
        Total += item.Size;
    }

    public void Remove(BatchItem<TRequest, TResponse> item)
    {
        if (item.Previous is null)
        {
            First = item.Next;
        }
        else
        {
            item.Previous.Next = item.Next;
        }

        if (item.Next is null)
        {
            _last = item.Previous;
        }
        else
        {
            item.Next.Previous = item.Previous;
        }

        item.Previous = null;
        item.Next = null;
        item.Waits = false;
        Count--;
        Total -= item.Size;
    }
}
