using System.Diagnostics;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded.Deployments;

/// <summary>
/// Gathers the requests of one replica into batches. A batch runs when it is full, or when its first request has waited long enough, and one of the concurrent batches has room; until then it goes on
/// growing. Those who wait hold permits of the replica, so their number is bounded by its <c>max_ongoing_requests</c>.
/// </summary>
/// <remarks>
/// One lock, held for a few instructions: an arrival appends itself and looks whether a batch is due; the timer and the end of a batch look too. User code runs outside it. The order is that of arrival,
/// always: a request that would overflow a batch is the first of the next one. A batch holds requests of one model: those of each model have a queue of their own while they wait, and of several queues that
/// are due the one whose first has waited longest goes first.
/// </remarks>
internal sealed class Batcher<TRequest, TResponse> : IDeployment<TRequest, TResponse>, IGathering, IDisposable
{
    private readonly Lock _gate = new();
    private readonly IBatchDeployment<TRequest, TResponse> _handler;
    private readonly BatchControl _control;
    private readonly Func<TRequest, int>? _size;
    private readonly TimeProvider _time;
    private readonly Action<IThreadPoolWorkItem> _dispatch;
    private readonly CancellationToken _stopping;
    private readonly DeploymentContext _replica;
    private readonly ITimer _timer;

    /// <summary>A batch is nobody's request: it runs in the ambient context of its replica, not of the caller who happened to fill it.</summary>
    private readonly ExecutionContext? _context = ExecutionContext.Capture();

    private readonly Stack<BatchItem<TRequest, TResponse>> _spare = new();

    /// <summary>That of requests that name no model, and those of models that somebody waits for: no more than there are permits.</summary>
    private readonly List<BatchQueue<TRequest, TResponse>> _queues = [new(modelId: null)];

    private int _running;
    private bool _nobodyComes;

    /// <summary>The arrival for whose wait the timer is set; 0 = it is not set.</summary>
    private long _timedFor;

    /// <summary>It may still fire.</summary>
    private bool _armed;

    public Batcher(IBatchDeployment<TRequest, TResponse> handler, Func<TRequest, int>? size, DeploymentContext context, CancellationToken stopping)
    {
        _handler = handler;
        _control = context.Batching;
        _size = size;
        _time = context.Time;
        _dispatch = context.Dispatch;
        _stopping = stopping;
        _replica = context;
        _timer = _time.CreateTimer(static batcher => ((Batcher<TRequest, TResponse>)batcher!).LookAfresh(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _control.Changed = LookAfresh;
        if (size is null && context.MaxOngoingRequests < (long)_control.MaxBatchSize * _control.MaxConcurrentBatches)
        {
            Log.BatchesNeverFill(context.Logger, context.Deployment, context.MaxOngoingRequests, _control.MaxBatchSize, _control.MaxConcurrentBatches);
        }
    }

    /// <summary>Requests that wait for their batch.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _queues.Sum(static q => q.Count);
            }
        }
    }

    /// <summary>Items that wait for another caller: what an idle batcher holds on to.</summary>
    public int Spare
    {
        get
        {
            lock (_gate)
            {
                return _spare.Count;
            }
        }
    }

    public ValueTask<TResponse> HandleAsync(TRequest request, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<TResponse>(cancellationToken);
        }

        int size = 1;
        if (_size is not null)
        {
            size = _size(request);
            if (size < 0 || size > _control.MaxBatchSize)
            {
                return ValueTask.FromException<TResponse>(TooLarge(size));
            }
        }

        string? modelId = RequestScope.Current?.ModelId;
        BatchItem<TRequest, TResponse>? item;
        Batch<TRequest, TResponse>? due;
        lock (_gate)
        {
            if (!_spare.TryPop(out item))
            {
                item = new(this);
            }

            item.Request = request;
            item.Size = size;
            item.Since = _time.GetTimestamp();
            item.Caller = _replica.Telemetry.Spans.HasListeners() ? Activity.Current?.Context ?? default : default;
            QueueOf_NeedsLock(modelId).Append(item);
            due = TakeDue_NeedsLock();
        }

        ValueTask<TResponse> answer = item.Answer;
        item.Watch(cancellationToken);
        Begin(due);
        return answer;
    }

    /// <summary>The caller has left: out of the queue, or, when its batch runs, ignored, unless it was the last who wanted an answer.</summary>
    public void Leave(BatchItem<TRequest, TResponse> item, CancellationToken cancellationToken)
    {
        bool waited;
        Batch<TRequest, TResponse>? unwanted = null;
        lock (_gate)
        {
            waited = item.Waits;
            if (waited)
            {
                Remove_NeedsLock(item);
                SetTimer_NeedsLock();
            }
            else if (item.Batch is { } batch && ++batch.Left == batch.Items.Length)
            {
                unwanted = batch;
            }
        }

        if (waited)
        {
            item.Fail(new OperationCanceledException(cancellationToken));
        }

        unwanted?.Cancel();
    }

    public void TakeBack(BatchItem<TRequest, TResponse> item)
    {
        lock (_gate)
        {
            item.Batch = null;
            _spare.Push(item);
        }
    }

    public void Run(Batch<TRequest, TResponse> batch)
    {
        if (_context is null)
        {
            _ = RunAsync(batch);
        }
        else
        {
            ExecutionContext.Run(_context, static batch => _ = ((Batch<TRequest, TResponse>)batch!).RunAsync(), batch);
        }
    }

    public void NobodyComes()
    {
        lock (_gate)
        {
            _nobodyComes = true;
        }

        Look();
    }

    public void Dispose() => _timer.Dispose();

    public async Task RunAsync(Batch<TRequest, TResponse> batch)
    {
        int answered = 0;
        RequestScope.OfCall(batch.ModelId, sessionId: null)?.Join();

        BatchObservation? observation = BatchObservation.Begin(_replica, batch.Items);
        try
        {
            using (_stopping.UnsafeRegister(static state => ((Batch<TRequest, TResponse>)state!).Cancel(), batch))
            {
                IReadOnlyList<TResponse> answers = await _handler.HandleBatchAsync(batch.Requests, batch.Cancelled);
                if (answers is null || answers.Count != batch.Items.Length)
                {
                    throw WrongCount(batch.Items.Length, answers?.Count);
                }

                IUnfinishedAnswers? unfinished = answers as IUnfinishedAnswers;
                if (unfinished is null)
                {
                    // Who has an answer finds it measured.
                    observation?.End(error: null);
                    observation = null;
                }

                while (answered < batch.Items.Length)
                {
                    TResponse answer = answers[answered];
                    batch.Items[answered++].SetAnswer(answer);
                }

                if (unfinished is not null)
                {
                    await unfinished.FinishAsync();
                    observation?.End(error: null);
                }
            }
        }
#pragma warning disable CA1031 // Whatever a handler throws belongs to the callers of this batch, never to the batcher.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            observation?.End(exception);
            while (answered < batch.Items.Length)
            {
                batch.Items[answered++].Fail(exception);
            }
        }
        finally
        {
            lock (_gate)
            {
                _running--;
            }

            Look();
        }
    }

    /// <summary>The timer has fired, or is set by what was in force before.</summary>
    private void LookAfresh()
    {
        lock (_gate)
        {
            _timedFor = 0;
        }

        Look();
    }

    /// <summary>Begins what is due.</summary>
    private void Look()
    {
        while (true)
        {
            Batch<TRequest, TResponse>? due;
            lock (_gate)
            {
                due = TakeDue_NeedsLock();
            }

            if (due is null)
            {
                return;
            }

            Begin(due);
        }
    }

    private void Begin(Batch<TRequest, TResponse>? batch)
    {
        if (batch is not null)
        {
            _dispatch(batch);
        }
    }

    private Batch<TRequest, TResponse>? TakeDue_NeedsLock()
    {
        // Who ends a batch looks again.
        if (_running >= _control.MaxConcurrentBatches)
        {
            return null;
        }

        int most = _control.MaxBatchSize;
        BatchQueue<TRequest, TResponse>? due = null;
        foreach (BatchQueue<TRequest, TResponse> queue in _queues)
        {
            if (queue.First is not null && (due is null || queue.First.Since < due.First!.Since) && IsDue_NeedsLock(queue, most))
            {
                due = queue;
            }
        }

        if (due is null)
        {
            SetTimer_NeedsLock();
            return null;
        }

        int count = 0;
        long total = 0;
        for (BatchItem<TRequest, TResponse>? item = due.First; item is not null && (count == 0 || total + item.Size <= most); item = item.Next)
        {
            total += item.Size;
            count++;
        }

        Batch<TRequest, TResponse> batch = new(this, due.ModelId, count);
        for (int i = 0; i < count; i++)
        {
            BatchItem<TRequest, TResponse> item = due.First!;
            Remove_NeedsLock(item);
            item.Batch = batch;
            batch.Items[i] = item;
            batch.Requests[i] = item.Request;
        }

        _running++;
        SetTimer_NeedsLock();
        return batch;
    }

    private bool IsDue_NeedsLock(BatchQueue<TRequest, TResponse> queue, int most) =>
        _nobodyComes || queue.Total >= most || _time.GetElapsedTime(queue.First!.Since) >= _control.BatchWaitTimeout;

    /// <summary>For the wait of who has waited longest, if a batch could begin when it is over.</summary>
    private void SetTimer_NeedsLock()
    {
        BatchItem<TRequest, TResponse>? first = null;
        foreach (BatchQueue<TRequest, TResponse> queue in _queues)
        {
            if (first is null || queue.First?.Since < first.Since)
            {
                first = queue.First;
            }
        }

        if (first is null || _running >= _control.MaxConcurrentBatches)
        {
            _timedFor = 0;
            if (_armed)
            {
                _armed = false;
                _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }

            return;
        }

        if (_timedFor == first.Since)
        {
            return;
        }

        // A timer counts in whole milliseconds: rounded down it would come before its time, and again and again.
        double left = (_control.BatchWaitTimeout - _time.GetElapsedTime(first.Since)).TotalMilliseconds;
        _timedFor = first.Since;
        _armed = true;
        _timer.Change(TimeSpan.FromMilliseconds(Math.Max(0, Math.Ceiling(left))), Timeout.InfiniteTimeSpan);
    }

    private BatchQueue<TRequest, TResponse> QueueOf_NeedsLock(string? modelId)
    {
        foreach (BatchQueue<TRequest, TResponse> queue in _queues)
        {
            if (queue.ModelId == modelId)
            {
                return queue;
            }
        }

        BatchQueue<TRequest, TResponse> added = new(modelId);
        _queues.Add(added);
        return added;
    }

    private void Remove_NeedsLock(BatchItem<TRequest, TResponse> item)
    {
        BatchQueue<TRequest, TResponse> queue = item.Queue;
        queue.Remove(item);
        if (queue is { First: null, ModelId: not null })
        {
            _queues.Remove(queue);
        }
    }

    private ArgumentException TooLarge(int size) => new(
        size < 0
            ? $"The size function of deployment '{_replica.Deployment}' said {size}: a size is 0 or more."
            : $"A request of size {size} can be in no batch of deployment '{_replica.Deployment}': its MaxBatchSize is {_control.MaxBatchSize}. Send smaller requests, or raise it.");

    private InvalidOperationException WrongCount(int requests, int? answers) => new(
        $"Batched function doesn't preserve batch size. The handler of deployment '{_replica.Deployment}' was given {requests} request(s) and returned {(answers is { } count ? $"{count} answer(s)" : "null")}: it must return one for each, in the same order.");
}
