using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Deployments;

namespace Serve.Embedded;

/// <summary>Collects the deployments of one application for <see cref="DeploymentRegistry.AddApplication"/>.</summary>
public sealed class ApplicationBuilder
{
    private readonly string _importPath;
    private readonly IReadOnlyDictionary<string, IAutoscalingPolicy> _policies;
    private readonly List<DeploymentDefinition> _deployments = [];

    internal ApplicationBuilder(string importPath, IReadOnlyDictionary<string, IAutoscalingPolicy> policies)
    {
        _importPath = importPath;
        _policies = policies;
    }

    /// <summary>Adds a deployment whose handler does not block.</summary>
    /// <param name="name">Its name, unique in the application.</param>
    /// <param name="factory">Makes a replica's handler. Called once per replica.</param>
    /// <param name="options">Its limits; a configuration file overrides them. <see langword="null"/> = the defaults.</param>
    /// <param name="responseJson">How to write <typeparamref name="TResponse"/> as JSON; needed only where it is sent over HTTP as JSON.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, an option is out of its range or contradicts another, or JSON is needed and <paramref name="responseJson"/> is <see langword="null"/>.</exception>
    public ApplicationBuilder Add<TRequest, TResponse>(
        string name,
        Func<DeploymentContext, IDeployment<TRequest, TResponse>> factory,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null)
    {
        HttpEntry? http = typeof(TRequest) == typeof(HttpRequest) ? new PlainEntry<TResponse>(new(responseJson, name)) : null;
        return Add(name, factory, options, http, blocks: false, typeof(TRequest), typeof(TResponse), new CallTypes<TRequest, TResponse>());
    }

    /// <summary>Adds a deployment whose handler does not block, and whose replicas are made by the container: constructor arguments come from a scope of the replica's own (<see cref="DeploymentContext.Services"/>).</summary>
    /// <remarks>A handle to another deployment of the application is asked for by its name: <c>[FromKeyedServices("Child")] DeploymentHandle&lt;int, string&gt; child</c>.</remarks>
    /// <typeparam name="TDeployment">The handler. What it implements of <see cref="IAsyncDisposable"/> or <see cref="IDisposable"/> is called when its replica ends, before the scope is disposed of.</typeparam>
    /// <typeparam name="TRequest">What it takes.</typeparam>
    /// <typeparam name="TResponse">What it answers.</typeparam>
    /// <param name="name">Its name, unique in the application.</param>
    /// <param name="options">Its limits; a configuration file overrides them. <see langword="null"/> = the defaults.</param>
    /// <param name="responseJson">How to write <typeparamref name="TResponse"/> as JSON; needed only where it is sent over HTTP as JSON.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, the options contradict each other, or JSON is needed and <paramref name="responseJson"/> is <see langword="null"/>.</exception>
    public ApplicationBuilder Add<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment, TRequest, TResponse>(
        string name, DeploymentOptions? options = null, JsonTypeInfo<TResponse>? responseJson = null)
        where TDeployment : class, IDeployment<TRequest, TResponse> => Add(name, Make<TDeployment>, options, responseJson).Asks<TDeployment>();

    /// <summary>Adds a deployment whose handler blocks its thread.</summary>
    /// <inheritdoc cref="Add{TRequest, TResponse}"/>
    public ApplicationBuilder AddBlocking<TRequest, TResponse>(
        string name,
        Func<DeploymentContext, IBlockingDeployment<TRequest, TResponse>> factory,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null)
    {
        HttpEntry? http = typeof(TRequest) == typeof(HttpRequest) ? new BlockingEntry<TResponse>(new(responseJson, name)) : null;
        return Add(name, factory, options, http, blocks: true, typeof(TRequest), typeof(TResponse), new CallTypes<TRequest, TResponse>());
    }

    /// <summary>Adds a deployment whose handler blocks its thread, and whose replicas are made by the container.</summary>
    /// <inheritdoc cref="Add{TDeployment, TRequest, TResponse}"/>
    public ApplicationBuilder AddBlocking<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment, TRequest, TResponse>(
        string name, DeploymentOptions? options = null, JsonTypeInfo<TResponse>? responseJson = null)
        where TDeployment : class, IBlockingDeployment<TRequest, TResponse> => AddBlocking(name, Make<TDeployment>, options, responseJson).Asks<TDeployment>();

    /// <summary>Adds a deployment that writes its own HTTP responses.</summary>
    /// <inheritdoc cref="Add{TRequest, TResponse}"/>
    public ApplicationBuilder AddHttp(string name, Func<DeploymentContext, IHttpDeployment> factory, DeploymentOptions? options = null) =>
        Add(name, factory, options, new ContextEntry(), blocks: false);

    /// <summary>Adds a deployment that writes its own HTTP responses, and whose replicas are made by the container.</summary>
    /// <inheritdoc cref="Add{TDeployment, TRequest, TResponse}"/>
    public ApplicationBuilder AddHttp<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment>(string name, DeploymentOptions? options = null)
        where TDeployment : class, IHttpDeployment => AddHttp(name, Make<TDeployment>, options).Asks<TDeployment>();

    /// <summary>Adds a deployment whose handler works on several requests at once.</summary>
    /// <param name="name">Its name, unique in the application.</param>
    /// <param name="factory">Makes a replica's handler. Called once per replica.</param>
    /// <param name="batching">How requests are gathered. <see langword="null"/> = the defaults.</param>
    /// <param name="options">
    /// Its limits; a configuration file overrides them. Requests that wait in a batch are ongoing, so a batch is never larger than <c>max_ongoing_requests</c>. <see langword="null"/> = the defaults, but
    /// <c>max_ongoing_requests</c> has room for the batches that run and for the one that gathers meanwhile.
    /// </param>
    /// <param name="responseJson">How to write <typeparamref name="TResponse"/> as JSON; needed only where it is sent over HTTP as JSON.</param>
    /// <param name="fromHttp">
    /// Makes of an HTTP request what the deployment takes, so that it can be an ingress deployment. It runs before the request is gathered and may throw <see cref="BadHttpRequestException"/>, which
    /// answers with that status. Not needed where the deployment takes <see cref="HttpRequest"/> itself.
    /// </param>
    /// <exception cref="ArgumentException">The name is taken or empty, the options contradict each other, or JSON is needed and <paramref name="responseJson"/> is <see langword="null"/>.</exception>
    public ApplicationBuilder AddBatch<TRequest, TResponse>(
        string name,
        Func<DeploymentContext, IBatchDeployment<TRequest, TResponse>> factory,
        BatchOptions<TRequest>? batching = null,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null,
        Func<HttpRequest, CancellationToken, ValueTask<TRequest>>? fromHttp = null) =>
        Gather(name, factory, static (handler, _) => (IBatchDeployment<TRequest, TResponse>)handler, batchesBlock: false, batching, options, responseJson, fromHttp);

    /// <summary>Adds a deployment whose handler works on several requests at once, and whose replicas are made by the container: constructor arguments come from a scope of the replica's own (<see cref="DeploymentContext.Services"/>).</summary>
    /// <typeparam name="TDeployment">The handler.</typeparam>
    /// <typeparam name="TRequest">What one caller sends.</typeparam>
    /// <typeparam name="TResponse">What one caller gets back.</typeparam>
    /// <inheritdoc cref="AddBatch{TRequest, TResponse}"/>
    public ApplicationBuilder AddBatch<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment, TRequest, TResponse>(
        string name,
        BatchOptions<TRequest>? batching = null,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null,
        Func<HttpRequest, CancellationToken, ValueTask<TRequest>>? fromHttp = null)
        where TDeployment : class, IBatchDeployment<TRequest, TResponse> => AddBatch(name, Make<TDeployment>, batching, options, responseJson, fromHttp).Asks<TDeployment>();

    /// <summary>Adds a deployment whose handler works on several requests at once and blocks its thread meanwhile; it runs on threads of the replica.</summary>
    /// <inheritdoc cref="AddBatch{TRequest, TResponse}"/>
    public ApplicationBuilder AddBlockingBatch<TRequest, TResponse>(
        string name,
        Func<DeploymentContext, IBlockingBatchDeployment<TRequest, TResponse>> factory,
        BatchOptions<TRequest>? batching = null,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null,
        Func<HttpRequest, CancellationToken, ValueTask<TRequest>>? fromHttp = null) =>
        Gather(
            name,
            factory,
            static (handler, context) => new BlockingBatches<TRequest, TResponse>((IBlockingBatchDeployment<TRequest, TResponse>)handler, context.Threads!),
            batchesBlock: true,
            batching,
            options,
            responseJson,
            fromHttp);

    /// <summary>Adds a deployment whose handler works on several requests at once and blocks its thread meanwhile, and whose replicas are made by the container.</summary>
    /// <inheritdoc cref="AddBatch{TDeployment, TRequest, TResponse}"/>
    public ApplicationBuilder AddBlockingBatch<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment, TRequest, TResponse>(
        string name,
        BatchOptions<TRequest>? batching = null,
        DeploymentOptions? options = null,
        JsonTypeInfo<TResponse>? responseJson = null,
        Func<HttpRequest, CancellationToken, ValueTask<TRequest>>? fromHttp = null)
        where TDeployment : class, IBlockingBatchDeployment<TRequest, TResponse> => AddBlockingBatch(name, Make<TDeployment>, batching, options, responseJson, fromHttp).Asks<TDeployment>();

    /// <summary>Adds a deployment whose handler works on several requests at once and answers each with a stream. Over HTTP, streams of text and bytes are streamed bodies.</summary>
    /// <typeparam name="TRequest">What one caller sends.</typeparam>
    /// <typeparam name="TItem">What the streams consist of.</typeparam>
    /// <param name="name">Its name, unique in the application.</param>
    /// <param name="factory">Makes a replica's handler. Called once per replica.</param>
    /// <param name="batching">How requests are gathered. <see langword="null"/> = the defaults.</param>
    /// <param name="options">Its limits; a configuration file overrides them. A request is ongoing until its stream has ended. <see langword="null"/> = the defaults, as for <c>AddBatch</c>.</param>
    /// <param name="fromHttp">Makes of an HTTP request what the deployment takes, so that it can be an ingress deployment; see <c>AddBatch</c>. The items must be text or bytes then.</param>
    /// <exception cref="ArgumentException">The name is taken or empty, the options contradict each other, or the items cannot be sent over HTTP as they are.</exception>
    public ApplicationBuilder AddStreamingBatch<TRequest, TItem>(
        string name,
        Func<DeploymentContext, IStreamingBatchDeployment<TRequest, TItem>> factory,
        BatchOptions<TRequest>? batching = null,
        DeploymentOptions? options = null,
        Func<HttpRequest, CancellationToken, ValueTask<TRequest>>? fromHttp = null) =>
        Gather<TRequest, IAsyncEnumerable<TItem>>(
            name,
            factory,
            static (handler, context) => new StreamingBatches<TRequest, TItem>((IStreamingBatchDeployment<TRequest, TItem>)handler, context.Deployment),
            batchesBlock: false,
            batching,
            options,
            responseJson: null,
            fromHttp);

    /// <summary>Adds a deployment whose handler works on several requests at once and answers each with a stream, and whose replicas are made by the container.</summary>
    /// <typeparam name="TDeployment">The handler.</typeparam>
    /// <typeparam name="TRequest">What one caller sends.</typeparam>
    /// <typeparam name="TItem">What the streams consist of.</typeparam>
    /// <inheritdoc cref="AddStreamingBatch{TRequest, TItem}"/>
    public ApplicationBuilder AddStreamingBatch<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment, TRequest, TItem>(
        string name,
        BatchOptions<TRequest>? batching = null,
        DeploymentOptions? options = null,
        Func<HttpRequest, CancellationToken, ValueTask<TRequest>>? fromHttp = null)
        where TDeployment : class, IStreamingBatchDeployment<TRequest, TItem> => AddStreamingBatch(name, Make<TDeployment>, batching, options, fromHttp).Asks<TDeployment>();

    /// <param name="answersHttp">Its first deployment must be one that does.</param>
    internal ApplicationDefinition Build(bool answersHttp)
    {
        if (_deployments.Count == 0)
        {
            throw new ArgumentException($"Application '{_importPath}' has no deployment.");
        }

        if (answersHttp && _deployments[0].Http is null)
        {
            throw new ArgumentException(
                $"Deployment '{_deployments[0].Name}' is the first of application '{_importPath}' and so answers HTTP: it must take an HttpRequest, be an IHttpDeployment, or be registered with what reads its requests from HTTP.");
        }

        foreach (DeploymentDefinition deployment in _deployments)
        {
            if (CallCircle.From(deployment.Name, name => _deployments.Find(d => d.Name == name)?.Callees ?? []) is { } way)
            {
                throw new ArgumentException(CallCircle.Message($"Deployments of application '{_importPath}'", way));
            }
        }

        return new(_importPath, _deployments);
    }

    /// <summary>Notes whom the last deployment asks for in its constructor. Which one of several is taken, the container knows; what a factory asks for shows when a replica starts.</summary>
    private ApplicationBuilder Asks<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment>()
    {
        if (typeof(TDeployment).GetConstructors() is [ConstructorInfo only])
        {
            _deployments[^1].Callees =
            [
                .. only.GetParameters()
                    .Where(p => p.ParameterType.IsGenericType && p.ParameterType.GetGenericTypeDefinition() == typeof(DeploymentHandle<,>))
                    .Select(p => p.GetCustomAttribute<FromKeyedServicesAttribute>()?.Key)
                    .OfType<string>(),
            ];
        }

        return this;
    }

    private static TDeployment Make<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TDeployment>(DeploymentContext context)
        where TDeployment : class => ActivatorUtilities.CreateInstance<TDeployment>(context.Services);

    private ApplicationBuilder Gather<TRequest, TResponse>(
        string name,
        Func<DeploymentContext, object> factory,
        Func<object, DeploymentContext, IBatchDeployment<TRequest, TResponse>> batches,
        bool batchesBlock,
        BatchOptions<TRequest>? batching,
        DeploymentOptions? options,
        JsonTypeInfo<TResponse>? responseJson,
        Func<HttpRequest, CancellationToken, ValueTask<TRequest>>? fromHttp)
    {
        ArgumentNullException.ThrowIfNull(factory);
        BatchOptions<TRequest> gather = batching ?? new();
        if (BatchingProblem(gather) is string wrong)
        {
            throw new ArgumentException($"Deployment '{name}' of application '{_importPath}': {wrong}", nameof(batching));
        }

        HttpEntry? http = fromHttp is not null ? new ReadEntry<TRequest, TResponse>(fromHttp, new(responseJson, name))
            : typeof(TRequest) == typeof(HttpRequest) ? new PlainEntry<TResponse>(new(responseJson, name))
            : null;
        return Add(
            name,
            context =>
            {
                context.BatchControl = new(gather.MaxBatchSize, gather.BatchWaitTimeout, gather.MaxConcurrentBatches);
                return factory(context);
            },
            options ?? RoomFor(gather),
            http,
            blocks: false,
            typeof(TRequest),
            typeof(TResponse),
            new CallTypes<TRequest, TResponse>(),
            (handler, context, stopping) => new Batcher<TRequest, TResponse>(batches(handler, context), gather.Size, context, stopping),
            batchesBlock);
    }

    private ApplicationBuilder Add(
        string name,
        Func<DeploymentContext, object> factory,
        DeploymentOptions? options,
        HttpEntry? http,
        bool blocks,
        Type? request = null,
        Type? response = null,
        CallTypes? calls = null,
        Func<object, DeploymentContext, CancellationToken, object>? entry = null,
        bool batchesBlock = false)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(factory);
        if (_deployments.Any(d => d.Name == name))
        {
            throw new ArgumentException($"Application '{_importPath}' has two deployments named '{name}'.", nameof(name));
        }

        if (options is not null && OptionRules.Problem(options, _policies) is { } wrong)
        {
            throw new ArgumentException($"Deployment '{name}' of application '{_importPath}': {wrong}", nameof(options));
        }

        _deployments.Add(new(name, factory, options ?? new(), http, blocks, request, response, entry) { Calls = calls, BatchesBlock = batchesBlock });
        return this;
    }

    private static string? BatchingProblem<TRequest>(BatchOptions<TRequest> batching) =>
        batching.MaxBatchSize < 1 ? $"MaxBatchSize, {batching.MaxBatchSize}, must be 1 or more."
        : batching.BatchWaitTimeout < TimeSpan.Zero || batching.BatchWaitTimeout > TimeSpan.FromDays(1) ? "BatchWaitTimeout must be from 0 to one day."
        : batching.MaxConcurrentBatches < 1 ? $"MaxConcurrentBatches, {batching.MaxConcurrentBatches}, must be 1 or more."
        : null;

    private static DeploymentOptions RoomFor<TRequest>(BatchOptions<TRequest> batching)
    {
        DeploymentOptions defaults = new();
        long room = batching.MaxBatchSize * (batching.MaxConcurrentBatches + 1L);
        return defaults with { MaxOngoingRequests = (int)Math.Clamp(room, defaults.MaxOngoingRequests, DeploymentOptions.UnlimitedQueueCap) };
    }
}
