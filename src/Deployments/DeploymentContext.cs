using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Serve.Embedded.Deployments;
using Serve.Embedded.Telemetry;

namespace Serve.Embedded;

/// <summary>What a deployment's factory is told about the replica it makes, and where it gets what the replica needs.</summary>
public sealed class DeploymentContext
{
    private readonly IDeploymentCallsFactory? _calls;
    private readonly Func<int> _rank;
    private readonly IServiceProvider? _services;
    private readonly Lock _gate = new();
    private AsyncServiceScope? _scope;
    private bool _isOver;

    /// <summary>
    /// A replica without a server, to make a handler with in a unit test. Everything has a default; <see cref="GetHandle"/> looks into <see cref="Services"/>, where handles are keyed by their deployments' names.
    /// </summary>
    /// <param name="application">See <see cref="Application"/>.</param>
    /// <param name="deployment">See <see cref="Deployment"/>.</param>
    public DeploymentContext(string application, string deployment)
    {
        ArgumentException.ThrowIfNullOrEmpty(application);
        ArgumentException.ThrowIfNullOrEmpty(deployment);
        Application = application;
        Deployment = deployment;
        ReplicaId = $"{application}-{deployment}-0";
        Time = TimeProvider.System;
        Logger = NullLogger.Instance;
        MaxOngoingRequests = int.MaxValue;
        BatchOptions<object> batching = new();
        BatchControl = new(batching.MaxBatchSize, batching.BatchWaitTimeout, batching.MaxConcurrentBatches);
        _rank = static () => 0;
    }

    internal DeploymentContext(
        string application, string deployment, string replicaId, Func<int> rank, string? args, TimeProvider time, ILogger logger, IDeploymentCallsFactory calls)
    {
        Application = application;
        Deployment = deployment;
        ReplicaId = replicaId;
        Time = time;
        Logger = logger;
        _rank = rank;
        _calls = calls;
        if (args is not null)
        {
            using JsonDocument document = JsonDocument.Parse(args);
            Args = document.RootElement.Clone();
        }
    }

    /// <summary>Where <see cref="Services"/> come from; <see langword="null"/> = there are none.</summary>
    internal Lazy<IServiceProvider>? Container { get; init; }

    /// <summary>The limit that its replica begins with.</summary>
    internal int MaxOngoingRequests { get; init; }

    /// <summary>Runs what the replica does on nobody's behalf.</summary>
    internal Action<IThreadPoolWorkItem> Dispatch { get; init; } = ServeEnvironment.ResumeOnThreadPool;

    /// <summary>Of a handler whose batches block.</summary>
    internal IReplicaThreads? Threads { get; set; }

    internal ServeTelemetry Telemetry { get; init; } = ServeTelemetry.Silent;

    /// <summary>What is measured of the deployment.</summary>
    internal DeploymentMeasures Measures
    {
        get => field ??= DeploymentMeasures.Alone(Application, Deployment);
        init;
    }

    internal BatchControl? BatchControl { get; set; }

    internal ReplicaModels Models { get; } = new();

    /// <summary>The application's name.</summary>
    public string Application { get; }

    /// <summary>The deployment's name.</summary>
    public string Deployment { get; }

    /// <summary>The replica's id, unique in this process.</summary>
    public string ReplicaId { get; init; }

    /// <summary>
    /// Which of its deployment's replicas it is: the lowest number, from 0, that no other one has. While a rollout or a scale-down goes on there may be gaps; then ranks
    /// move down to 0 up to the number of replicas less 1, so read it when you need it. Ray Serve's replica rank.
    /// </summary>
    public int Rank
    {
        get => _rank();
        init => _rank = () => value;
    }

    /// <summary>The application's <c>args</c> from the configuration, as JSON; <see langword="null"/> = none.</summary>
    public JsonElement? Args { get; init; }

    /// <summary>The server's clock.</summary>
    public TimeProvider Time { get; init; }

    /// <summary>Writes to the server's log; lines written while a request is handled carry its id.</summary>
    public ILogger Logger { get; init; }

    /// <summary>
    /// The replica's services: a scope of the host's container that belongs to this replica and ends after its handler was disposed of. Where there is no host, it has
    /// <see cref="DeploymentContext"/>, handles to the application's deployments by their names, <see cref="ILogger{TCategoryName}"/> and <see cref="TimeProvider"/>.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The replica has ended.</exception>
    public IServiceProvider Services
    {
        get
        {
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_isOver, this);
                if (_services is not null)
                {
                    return _services;
                }

                if (_scope is null)
                {
                    IServiceProvider container = Container?.Value ?? throw new InvalidOperationException($"Replica {ReplicaId} of deployment '{Deployment}' has no container to take services from.");
                    _scope = container.CreateAsyncScope();
                    if (_scope.Value.ServiceProvider.GetService<ReplicaScope>() is { } scope)
                    {
                        scope.Context = this;
                    }
                }

                return _scope.Value.ServiceProvider;
            }
        }

        init => _services = value;
    }

    /// <summary>Ends the scope of <see cref="Services"/>.</summary>
    internal ValueTask DisposeServicesAsync()
    {
        lock (_gate)
        {
            _isOver = true;
            return _scope?.DisposeAsync() ?? default;
        }
    }

    /// <summary>How this replica's requests are gathered, to be changed while it runs.</summary>
    /// <exception cref="InvalidOperationException">The deployment takes no batches: it was not registered with <c>AddBatch</c>.</exception>
    public BatchControl Batching => BatchControl ?? throw new InvalidOperationException(
        $"Deployment '{Deployment}' of application '{Application}' takes no batches. Register it with {nameof(ApplicationBuilder.AddBatch)}.");

    /// <summary>Room for models that are loaded when a request first asks for them. Requests that name a model go to replicas that have it, while these have free permits.</summary>
    /// <param name="load">Loads one model, by its id. Its token is set when the replica ends.</param>
    /// <param name="maxModels">Models at the same time, 1 or more; -1 = no limit. Default 3, as in Ray Serve.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxModels"/> is neither -1 nor 1 or more.</exception>
    public MultiplexedModels<TModel> CreateModels<TModel>(Func<string, CancellationToken, ValueTask<TModel>> load, int maxModels = 3)
        where TModel : class
    {
        ArgumentNullException.ThrowIfNull(load);
        if (maxModels is 0 or < -1)
        {
            throw new ArgumentOutOfRangeException(nameof(maxModels), maxModels, "It must be 1 or more, or -1 for no limit.");
        }

        MultiplexedModels<TModel> models = new(load, maxModels);
        Models.Add(models);
        return models;
    }

    /// <summary>
    /// A handle to another deployment of the same application. Each replica has a handle, and so a queue, of its own. Deployments may not call each other in a circle: requests would wait for permits that they hold themselves.
    /// </summary>
    /// <param name="deployment">The deployment's name.</param>
    /// <exception cref="InvalidOperationException">The other deployment calls this one, itself or through others.</exception>
    /// <exception cref="ArgumentException">The application has no such deployment, or it takes and answers other types.</exception>
    public DeploymentHandle<TRequest, TResponse> GetHandle<TRequest, TResponse>(string deployment) =>
        _calls is null ? Services.GetRequiredKeyedService<DeploymentHandle<TRequest, TResponse>>(deployment) : new(_calls.Create<TRequest, TResponse>(deployment));
}
