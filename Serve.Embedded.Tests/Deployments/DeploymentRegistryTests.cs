using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Serve.Embedded.Deployments;

namespace Serve.Embedded.Tests.Deployments;

public sealed class DeploymentRegistryTests
{
    public static TheoryData<string, DeploymentOptions> BadOptions { get; } = new()
    {
        { "NumReplicas must be an integer from 1 to 10000, not 0.", new() { NumReplicas = 0 } },
        { "MaxOngoingRequests must be an integer from 1 to ", new() { MaxOngoingRequests = 0 } },
        { "MaxQueuedRequests must be an integer from -1 to ", new() { MaxQueuedRequests = -2 } },
        { "MaxQueueWait must be a number of seconds from 0.001 to 2592000, not 0.0.", new() { MaxQueueWait = TimeSpan.Zero } },
        { "MaxWebsockets must be an integer from 0 to 1000000, not -1.", new() { MaxWebsockets = -1 } },
        { "GracefulShutdownTimeout must be a number of seconds from 0 to 86400, not -0.001.", new() { GracefulShutdownTimeout = Timeout.InfiniteTimeSpan } },
        { "HealthCheckPeriod must be a number of seconds from ", new() { HealthCheckPeriod = TimeSpan.Zero } },
        { "HealthCheckTimeout must be a number of seconds from ", new() { HealthCheckTimeout = TimeSpan.FromDays(31) } },
        { "MaxConstructorRetryCount must be an integer from 1 to 10000, not 0.", new() { MaxConstructorRetryCount = 0 } },
        { "RollingUpdatePercentage must be a number from 0.001 to 1, not 20.0.", new() { RollingUpdatePercentage = 20 } },
        { "NumCpus must be a number from 0 to 10000, not nan.", new() { NumCpus = double.NaN } },
        { "MemoryMb must be an integer from 0 to ", new() { MemoryMb = -1 } },
        { "Weight must be an integer from 1 to 1000, not 0.", new() { Weight = 0 } },
        { "BackpressureStatusCode must be 503 or 429, not 500.", new() { BackpressureStatusCode = 500 } },
        { "RetryAfterS must be a number from 0 to 86400, not -1.0.", new() { RetryAfterS = -1 } },
        { "UserConfig must be JSON: ", new() { UserConfig = "{ size: 1 }" } },
        { "MaxOngoingRequests must be an integer from 1 to ", new() { Weight = 0, MaxOngoingRequests = 0 } },
        { "Weight must be an integer from 1 to 1000, not 0.", new() { Weight = 0, MaxOngoingRequests = 0 } },
        { "NumReplicas says how many", new() { NumReplicas = 2, Autoscaling = new() } },
        { "MinReplicas must be an integer from 0 to 10000, not -1.", new() { Autoscaling = new() { MinReplicas = -1 } } },
        { "MinReplicas, 3, must not be more than MaxReplicas, 2.", new() { Autoscaling = new() { MinReplicas = 3, MaxReplicas = 2 } } },
        { "MinReplicas, 101, must not be more than 100, the default of MaxReplicas.", new() { Autoscaling = new() { MinReplicas = 101 } } },
        { "MaxReplicas must be an integer from 1 to 10000, not 0.", new() { Autoscaling = new() { MinReplicas = 0, MaxReplicas = 0 } } },
        { "InitialReplicas must be from MinReplicas, 1, to MaxReplicas, 4, not 5.", new() { Autoscaling = new() { MaxReplicas = 4, InitialReplicas = 5 } } },
        { "InitialReplicas must be from MinReplicas, 1, to 100, the default of MaxReplicas, not 0.", new() { Autoscaling = new() { InitialReplicas = 0 } } },
        { "TargetOngoingRequests must be a number from 0.001 to 1000000, not 0.0.", new() { Autoscaling = new() { TargetOngoingRequests = 0 } } },
        { "UpscalingFactor must be a number from 0.001 to 1000, not nan.", new() { Autoscaling = new() { UpscalingFactor = double.NaN } } },
        { "DownscalingFactor must be a number from 0.001 to 1000, not 0.0.", new() { Autoscaling = new() { DownscalingFactor = 0 } } },
        { "LookBackPeriod must be a number of seconds from ", new() { Autoscaling = new() { LookBackPeriod = TimeSpan.Zero } } },
        { "UpscaleDelay must be a number of seconds from 0 to 2592000, not -1.0.", new() { Autoscaling = new() { UpscaleDelay = TimeSpan.FromSeconds(-1) } } },
        { "DownscaleDelay must be a number of seconds from 0 ", new() { Autoscaling = new() { DownscaleDelay = TimeSpan.FromSeconds(-1) } } },
        { "DownscaleToZeroDelay must be a number of seconds from 0 ", new() { Autoscaling = new() { DownscaleToZeroDelay = TimeSpan.FromSeconds(-1) } } },
        { "Aggregation must be one of Mean, Max, Min, not 7.", new() { Autoscaling = new() { Aggregation = (AggregationFunction)7 } } },
        { "No autoscaling policy 'later' is registered", new() { Autoscaling = new() { Policy = "later" } } },
    };

    [Theory]
    [MemberData(nameof(BadOptions))]
    public void AddApplication_OptionsOutOfRangeOrThatContradictThemselves_AreRefusedByName(string expected, DeploymentOptions options)
    {
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => Add(new DeploymentRegistry(), options));

        Assert.StartsWith("Deployment 'One' of application 'test:app': ", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AddApplication_PolicyRegisteredBefore_IsTaken()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddAutoscalingPolicy("later", new Never());

        Add(registry, new() { Autoscaling = new() { MinReplicas = 0, InitialReplicas = 100, Policy = "later" } });

        Assert.Equal("later", registry.Applications["test:app"].Ingress.Options.Autoscaling!.Policy);
    }

    [Fact]
    public void AddAutoscalingPolicy_NameTakenOrMalformed_IsRefused()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddAutoscalingPolicy("queue", new Never());

        Assert.Contains("registered twice", Assert.Throws<ArgumentException>(() => registry.AddAutoscalingPolicy("queue", new Never())).Message, StringComparison.Ordinal);
        Assert.Contains("it has the character ' '", Assert.Throws<ArgumentException>(() => registry.AddAutoscalingPolicy("my queue", new Never())).Message, StringComparison.Ordinal);
    }

    public static TheoryData<string, BatchOptions<int>> BadBatching { get; } = new()
    {
        { "MaxBatchSize, 0,", new() { MaxBatchSize = 0 } },
        { "MaxConcurrentBatches, 0,", new() { MaxConcurrentBatches = 0 } },
        { "BatchWaitTimeout", new() { BatchWaitTimeout = TimeSpan.FromTicks(-1) } },
        { "BatchWaitTimeout", new() { BatchWaitTimeout = TimeSpan.FromDays(2) } },
    };

    [Theory]
    [MemberData(nameof(BadBatching))]
    public void AddBatch_OptionsThatCannotBe_AreRefused(string expected, BatchOptions<int> batching)
    {
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => AddBatch(batching, null));

        Assert.StartsWith("Deployment 'Two' of application 'test:app': ", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
    }

    /// <summary>Else batches of the default size would never fill.</summary>
    [Fact]
    public void AddBatch_NoOptions_HasRoomForTheBatchesThatRunAndOneThatGathers()
    {
        Assert.Equal(96, AddBatch(new() { MaxBatchSize = 32, MaxConcurrentBatches = 2 }, null).MaxOngoingRequests);
        Assert.Equal(5, AddBatch(new() { MaxBatchSize = 1 }, null).MaxOngoingRequests);
        Assert.Equal(7, AddBatch(new(), new() { MaxOngoingRequests = 7 }).MaxOngoingRequests);
    }

    [Fact]
    public void AddApplication_ConstructorsAskForEachOtherInACircle_SaysWhichWayItGoes()
    {
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => new DeploymentRegistry().AddApplication("test:app", app => app
            .Add<AsksA, HttpRequest, int>("Front", responseJson: CircleJson.Default.Int32)
            .Add<AsksB, int, int>("A")
            .AddBlocking<BlocksForA, int, int>("B")));

        Assert.StartsWith("Deployments of application 'test:app' call each other in a circle: A -> B -> A. ", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AddApplication_ConstructorsAskForOneTwice_IsNoCircle()
    {
        DeploymentRegistry registry = new DeploymentRegistry().AddApplication("test:app", app => app
            .Add<AsksA, HttpRequest, int>("Front", responseJson: CircleJson.Default.Int32)
            .AddBlocking<BlocksForA, int, int>("B")
            .Add<int, int>("A", _ => throw new NotSupportedException()));

        Assert.Equal(["A"], registry.Applications["test:app"].Ingress.Callees);
    }

    private static DeploymentOptions AddBatch(BatchOptions<int> batching, DeploymentOptions? options)
    {
        DeploymentRegistry registry = new();
        registry.AddApplication("test:app", app => app
            .AddHttp("One", _ => new EchoDeployment())
            .AddBatch<int, int>("Two", _ => throw new NotSupportedException(), batching, options));
        return registry.Applications["test:app"].Deployments[1].Options;
    }

    private static void Add(DeploymentRegistry registry, DeploymentOptions options) =>
        registry.AddApplication("test:app", app => app.AddHttp("One", _ => new EchoDeployment(), options));

    private sealed class AsksA([FromKeyedServices("A")] DeploymentHandle<int, int> a) : IDeployment<HttpRequest, int>
    {
        public ValueTask<int> HandleAsync(HttpRequest request, CancellationToken cancellationToken) => a.CallAsync(1, cancellationToken);
    }

    private sealed class AsksB([FromKeyedServices("B")] DeploymentHandle<int, int> b) : IDeployment<int, int>
    {
        public ValueTask<int> HandleAsync(int request, CancellationToken cancellationToken) => b.CallAsync(request, cancellationToken);
    }

    private sealed class BlocksForA([FromKeyedServices("A")] DeploymentHandle<int, int> a) : IBlockingDeployment<int, int>
    {
        public int Handle(int request, CancellationToken cancellationToken) => a.CallAsync(request, cancellationToken).AsTask().GetAwaiter().GetResult();
    }

    private sealed class Never : IAutoscalingPolicy
    {
        public AutoscalingDecision Decide(AutoscalingContext context) => throw new NotSupportedException();
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(int))]
internal sealed partial class CircleJson : System.Text.Json.Serialization.JsonSerializerContext;
