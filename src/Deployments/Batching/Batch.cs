namespace Serve.Embedded.Deployments;

/// <summary>Callers that are answered together.</summary>
internal sealed class Batch<TRequest, TResponse>(Batcher<TRequest, TResponse> owner, string? modelId, int count) : IThreadPoolWorkItem
{
    private readonly CancellationTokenSource _cancelled = new();

    /// <summary>The model that all its requests name; <see langword="null"/> = none.</summary>
    public string? ModelId => modelId;

    public BatchItem<TRequest, TResponse>[] Items { get; } = new BatchItem<TRequest, TResponse>[count];

    public TRequest[] Requests { get; } = new TRequest[count];

    /// <summary>Callers who have left; the owner's lock guards it.</summary>
    public int Left { get; set; }

    /// <summary>Set when nobody wants its answers any more.</summary>
    public CancellationToken Cancelled => _cancelled.Token;

    /// <summary>What the handler does then is not done on the thread of who left.</summary>
    public void Cancel() => _ = _cancelled.CancelAsync();

    public Task RunAsync() => owner.RunAsync(this);

    void IThreadPoolWorkItem.Execute() => owner.Run(this);
}
