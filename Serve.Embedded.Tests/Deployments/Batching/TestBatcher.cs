using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Handles;
using Serve.Embedded.Telemetry;
using Serve.Embedded.Tests.Fakes;

namespace Serve.Embedded.Tests.Deployments;

/// <summary>A batcher whose clock and whose answers belong to the test: a batch runs on the thread that made it due, and ends when the test says so.</summary>
internal sealed class TestBatcher : IBatchDeployment<int, string>, IDisposable
{
    private readonly List<RunningBatch> _batches = [];
    private readonly CancellationTokenSource _stopping = new();

    public TestBatcher(BatchOptions<int>? options = null, int maxOngoing = 1000, ILogger? logger = null, ServeTelemetry? telemetry = null)
    {
        options ??= new();
        DeploymentContext context = new("app", "D", "r", static () => 0, null, Clock, logger ?? NullLogger.Instance, new ReplicaHandles("app", new Dictionary<string, ServedDeployment>()))
        {
            MaxOngoingRequests = maxOngoing,
            Telemetry = telemetry ?? ServeTelemetry.Silent,
            Dispatch = static item => item.Execute(),
            BatchControl = new(options.MaxBatchSize, options.BatchWaitTimeout, options.MaxConcurrentBatches),
        };
        Control = context.Batching;
        Batcher = new(this, options.Size, context, _stopping.Token);
    }

    public ManualTimeProvider Clock { get; } = new();

    public BatchControl Control { get; }

    public Batcher<int, string> Batcher { get; }

    /// <summary>Answers every batch at once.</summary>
    public Func<IReadOnlyList<int>, IReadOnlyList<string>>? AtOnce { get; set; }

    /// <summary>The batches that have begun.</summary>
    public IReadOnlyList<RunningBatch> Batches => _batches;

    public IEnumerable<IReadOnlyList<int>> Requests => _batches.Select(b => b.Requests);

    /// <summary>A caller who stays.</summary>
    public Task<string> Call(int request) => Batcher.HandleAsync(request, CancellationToken.None).AsTask();

    /// <summary>A caller who may leave.</summary>
    public Task<string> CallUntil(int request, CancellationToken leaves) => Batcher.HandleAsync(request, leaves).AsTask();

    /// <summary>A caller whose request names a model, and who stays.</summary>
    public Task<string> CallFor(string? model, int request) => CallForUntil(model, request, CancellationToken.None);

    public Task<string> CallForUntil(string? model, int request, CancellationToken leaves)
    {
        return CallAsync();

        async Task<string> CallAsync()
        {
            new RequestScope(keepsContext: false) { ModelId = model }.Join();
            return await Batcher.HandleAsync(request, leaves);
        }
    }

    public Task<string>[] Call(IEnumerable<int> requests) => [.. requests.Select(Call)];

    public void Pass(double milliseconds) => Clock.Advance(TimeSpan.FromMilliseconds(milliseconds));

    public Task StopAsync() => _stopping.CancelAsync();

    public ValueTask<IReadOnlyList<string>> HandleBatchAsync(IReadOnlyList<int> batch, CancellationToken cancellationToken)
    {
        if (AtOnce is { } atOnce)
        {
            return new(atOnce(batch));
        }

        RunningBatch running = new(batch, CurrentRequest.ModelId, cancellationToken);
        _batches.Add(running);
        return new(running.Answers.Task);
    }

    public void Dispose()
    {
        Batcher.Dispose();
        _stopping.Dispose();
    }
}

/// <summary>A batch whose handler has not returned.</summary>
internal sealed record RunningBatch(IReadOnlyList<int> Requests, string? ModelId, CancellationToken Cancelled)
{
    public TaskCompletionSource<IReadOnlyList<string>> Answers { get; } = new();

    /// <summary>Answers each with its own number.</summary>
    public void End() => Answers.SetResult([.. Requests.Select(r => $"<{r}>")]);
}
