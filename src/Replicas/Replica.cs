using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Serve.Embedded.Deployments;
using Serve.Embedded.Replicas.Workers;

namespace Serve.Embedded.Replicas;

/// <summary>One running copy of a deployment: its handler, its permits, and the threads of a handler that blocks.</summary>
internal sealed class Replica
{
    private readonly ReplicaThreads? _threads;
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _withdrawn = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private object? _handler;
    private IDisposable? _belongings;
    private DeploymentContext? _context;
    private Task _healthCheck = Task.CompletedTask;
    private int _rank;
    private int _state = (int)ReplicaState.Starting;

    // What every request reads stands together, these and the two properties that come first: so it is in one or two lines of the cache.
    private readonly DeploymentDefinition _definition;

    /// <summary>What requests are given to: the handler, or what gathers them for it.</summary>
    private object? _entry;
    private IPlainHandler? _plain;

    public Replica(string id, DeploymentDefinition definition, TimeProvider time)
    {
        Id = id;
        StartedAt = time.GetUtcNow();
        _definition = definition;
        _threads = definition.Blocks || definition.BatchesBlock ? new($"{definition.Name} {id}", time) : null;
    }

    public string Id { get; }

    public ReplicaPermits Permits { get; } = new();

    public DateTimeOffset StartedAt { get; }

    /// <summary>Which of its deployment's replicas it is, from 0; the controller moves it down when others have gone.</summary>
    public int Rank
    {
        get => Volatile.Read(ref _rank);
        set => Volatile.Write(ref _rank, value);
    }

    /// <summary>The last lines that its handler has logged outside requests: what an operator needs when it does not come up.</summary>
    public ReplicaLog Log { get; } = new();

    /// <summary>What is shown of one that has failed: what a process wrote last to its stderr, else the end of its log.</summary>
    public IReadOnlyList<string> LastLines => Process?.LastWords is { Count: > 0 } words ? words : Log.Tail;

    /// <summary>Whether its handler can say how it is.</summary>
    public bool HasHealthCheck => _handler is IHealthChecked;

    /// <summary>Its process; <see langword="null"/> = its handler is compiled in.</summary>
    public IReplicaProcess? Process => _handler as IReplicaProcess;

    /// <summary>Completes when it is given no more requests.</summary>
    public Task Withdrawn => _withdrawn.Task;

    public ReplicaUpgrades Upgrades { get; } = new();

    /// <summary>Requests and upgraded connections that it has.</summary>
    public int Ongoing => Permits.Ongoing + Upgrades.Count;

    /// <summary>Calls that take no permit.</summary>
    public ReplicaVisits Visits { get; } = new();

    /// <summary>What its handler has in memory for requests that ask for it by name.</summary>
    public ReplicaModels Models { get; private set; } = new();

    public ReplicaState State => (ReplicaState)Volatile.Read(ref _state);

    /// <summary>Cancelled when the replica must stop now, whatever it still does.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <summary>Threads that belong to this replica.</summary>
    public int ThreadCount => _threads?.Count ?? 0;

    /// <summary>Makes the handler and hands it its first <c>user_config</c>. Any failure is a failed start.</summary>
    public async Task StartAsync(DeploymentContext context, string? userConfig)
    {
        _context = context;
        context.Threads = _threads;
        Models = context.Models;
        object handler = _definition.CreateHandler(context)
            ?? throw new InvalidOperationException($"The factory of deployment '{_definition.Name}' returned null.");
        Volatile.Write(ref _handler, handler);
        _plain = handler as IPlainHandler;
        _entry = _definition.CreateEntry(handler, context, _stopping.Token);
        if (handler is IReplicaProcess process)
        {
            await process.StartAsync(userConfig, _stopping.Token);
        }
        else if (userConfig is not null)
        {
            await ReconfigureAsync(userConfig);
        }
    }

    /// <summary>Hands the handler a new <c>user_config</c>, while requests go on.</summary>
    public async Task ReconfigureAsync(string userConfig)
    {
        if (_handler is not IReconfigurable handler)
        {
            throw new InvalidOperationException(
                $"Deployment '{_definition.Name}' takes no user_config: its handler does not implement {nameof(IReconfigurable)}. Remove user_config from its options.");
        }

        using JsonDocument document = JsonDocument.Parse(userConfig);
        await handler.ReconfigureAsync(document.RootElement.Clone(), _stopping.Token);
    }

    /// <summary>The health check that runs, or ran last.</summary>
    public Task LastHealthCheck => Volatile.Read(ref _healthCheck);

    /// <summary>Asks the handler how it is. A check that still runs is the answer to the next one too, so that a hanging one is never piled upon.</summary>
    /// <param name="timeout">What it may take. Whoever asks sees to that; a process is told.</param>
    public Task CheckHealthAsync(TimeSpan timeout)
    {
        Task check = LastHealthCheck;
        if (_handler is IHealthChecked handler && check.IsCompleted)
        {
            if (Process is { } process)
            {
                process.CheckTimeout = timeout;
            }

            check = handler.CheckHealthAsync(_stopping.Token).AsTask();
            Volatile.Write(ref _healthCheck, check);
        }

        return check;
    }

    /// <exception cref="InvalidOperationException">The state table has no such move.</exception>
    public void MoveTo(ReplicaState next)
    {
        ReplicaState current = State;
        if (!ReplicaStates.CanMove(current, next))
        {
            throw new InvalidOperationException($"Replica {Id} of deployment '{_definition.Name}' cannot go from {current} to {next}.");
        }

        Volatile.Write(ref _state, (int)next);
    }

    /// <summary>Nobody is sent to it any more. Called once its permits are gone, and not before: who waits for this would else be sent to it again.</summary>
    public void Withdraw()
    {
        _withdrawn.TrySetResult();
        (_entry as IGathering)?.NobodyComes();
    }

    /// <summary>Runs an HTTP request: where it is if the handler does not block, else on a thread of the replica.</summary>
    public ValueTask<HttpResult> InvokeHttpAsync(HttpContext context, CancellationToken cancellationToken)
    {
        if (_definition.Http is null)
        {
            return ValueTask.FromException<HttpResult>(new BadHttpRequestException($"Deployment '{_definition.Name}' takes calls from code, not HTTP.", StatusCodes.Status404NotFound));
        }

        if (!_definition.Blocks)
        {
            return _definition.Http.InvokeAsync(_entry!, context, cancellationToken);
        }

        // The thread is the handler's to block, so it may read the body in the plain way.
        if (context.Features.Get<IHttpBodyControlFeature>() is { } body)
        {
            body.AllowSynchronousIO = true;
        }

        return BlockHttpAsync(_threads!, context, cancellationToken);
    }

    /// <summary>Passes a plain request on. For a deployment whose handlers are <see cref="IPlainHandler"/>s.</summary>
    public ValueTask InvokePlainAsync(IPlainClient client, CancellationToken cancellationToken) => _plain!.HandleAsync(client, cancellationToken);

    /// <summary>Runs a call from code.</summary>
    public ValueTask<TResponse> InvokeAsync<TRequest, TResponse>(TRequest request, CancellationToken cancellationToken) => !_definition.Blocks
        ? ((IDeployment<TRequest, TResponse>)_entry!).HandleAsync(request, cancellationToken)
        : BlockAsync<TRequest, TResponse>(_threads!, request, cancellationToken);

    /// <summary>What goes when the replica goes: the handles that its handler has opened.</summary>
    public void OnDisposed(IDisposable belongings) => _belongings = belongings;

    /// <summary>Completes when it has neither requests nor upgraded connections. For one that is given nothing any more.</summary>
    public async Task WhenIdle()
    {
        await Permits.WhenIdle();

        // Whoever has a place took it while holding a permit, so from here on there are only fewer.
        await Upgrades.WhenNone();
        await Visits.CloseAsync();
    }

    /// <summary>Cancels what still runs.</summary>
    public Task CancelOngoingAsync() => _stopping.CancelAsync();

    /// <summary>Disposes of the handler, then of its models and its services, and lets the threads go. Called when nothing is ongoing.</summary>
    /// <param name="grace">For a process, until it is killed.</param>
    public async Task DisposeHandlerAsync(TimeSpan grace)
    {
        _threads?.Dispose();
        _belongings?.Dispose();
        try
        {
            if (_handler is IReplicaProcess process)
            {
                await process.StopAsync(grace);
            }

            if (_entry != _handler)
            {
                (_entry as IDisposable)?.Dispose();
            }

            try
            {
                await Disposal.OfAsync(_handler);
            }
            finally
            {
                await Models.DisposeAsync();
            }
        }
        finally
        {
            if (_context is not null)
            {
                await _context.DisposeServicesAsync();
            }
        }
    }

    // Apart from the methods that call them: what a lambda captures is allocated where its method begins, also for handlers that do not block.
    private ValueTask<HttpResult> BlockHttpAsync(ReplicaThreads threads, HttpContext context, CancellationToken cancellationToken) =>
        BlockingCall<HttpResult>.RunAsync(threads, () => _definition.Http!.InvokeAsync(_entry!, context, cancellationToken).AsTask().GetAwaiter().GetResult());

    private ValueTask<TResponse> BlockAsync<TRequest, TResponse>(ReplicaThreads threads, TRequest request, CancellationToken cancellationToken)
    {
        IBlockingDeployment<TRequest, TResponse> handler = (IBlockingDeployment<TRequest, TResponse>)_handler!;
        return BlockingCall<TResponse>.RunAsync(threads, () => handler.Handle(request, cancellationToken));
    }
}
